"""The audit log: who asked for which change, when, and what came of it."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from mail_proxy.sql import schema
from mail_proxy.sql.table import Table


class CommandLogTable(Table):
    """Rows are written in the transaction of the operation that they tell about."""

    schema = schema.command_log

    def remove_oldest(self, connection: Connection, before: float, limit: int) -> int:
        """Remove rows from before ``before``, Unix seconds, at most ``limit``; returns how many."""
        c = self.schema.c
        oldest = select(c.id).where(c.at < before).order_by(c.at).limit(limit)
        return connection.execute(delete(self.schema).where(c.id.in_(oldest))).rowcount
