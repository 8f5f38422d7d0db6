"""The audit log: who asked for which change, when, and what came of it."""

from __future__ import annotations

from mail_proxy.sql import schema
from mail_proxy.sql.table import Table


class CommandLogTable(Table):
    """Rows are written in the transaction of the operation that they tell about."""

    schema = schema.command_log
