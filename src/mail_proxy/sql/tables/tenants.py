"""Table of tenants."""

from __future__ import annotations

import orjson
from sqlalchemy import Connection

from mail_proxy.sql import schema
from mail_proxy.sql.table import Row
from mail_proxy.sql.tables.instance import DirectoryTable

_OBJECTS = ("client_auth", "large_file_config")


class TenantsTable(DirectoryTable):
    """Table of tenants. ``client_auth`` and ``large_file_config`` are encrypted JSON."""

    schema = schema.tenant
    #: One bad tenant must not stop the others.
    keeps_damaged = True

    def before_write(self, connection: Connection, values: Row) -> Row:
        values = super().before_write(connection, values)
        objects = {k: v for k, v in values.items() if k in _OBJECTS and isinstance(v, dict)}
        return {**values, **{k: orjson.dumps(v).decode() for k, v in objects.items()}}

    def _open(self, row: Row) -> Row:
        row = super()._open(row)
        for name in _OBJECTS:
            if isinstance(row.get(name), str):
                row[name] = orjson.loads(row[name])
        return row
