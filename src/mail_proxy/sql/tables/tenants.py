"""Tenants."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Connection

from mail_proxy.sql import schema
from mail_proxy.sql.table import Row
from mail_proxy.sql.tables.instance import DirectoryTable


class TenantsTable(DirectoryTable):
    """``client_auth`` is a JSON object that is sealed whole."""

    schema = schema.tenant
    #: One bad tenant must not stop the others.
    keeps_damaged = True

    def before_write(self, connection: Connection, values: Row) -> Row:
        values = super().before_write(connection, values)
        auth: Any = values.get("client_auth")
        if isinstance(auth, dict):
            return {**values, "client_auth": orjson.dumps(auth).decode()}
        return values

    def _open(self, row: Row) -> Row:
        row = super()._open(row)
        if isinstance(row.get("client_auth"), str):
            row["client_auth"] = orjson.loads(row["client_auth"])
        return row
