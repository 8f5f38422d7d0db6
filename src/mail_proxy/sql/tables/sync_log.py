"""Table of the last report calls to each tenant's application, with their results."""

from __future__ import annotations

from sqlalchemy import Connection, text

from mail_proxy.sql import schema
from mail_proxy.sql.table import Row, Table

#: Calls that are kept for each tenant: about eight hours of empty calls.
KEPT_CALLS = 100

_FORGET = text(
    "DELETE FROM sync_log WHERE tenant_id = :tenant_id AND id <= (SELECT id FROM sync_log "
    "WHERE tenant_id = :tenant_id ORDER BY id DESC LIMIT 1 OFFSET :kept)"
)


class SyncLogTable(Table):
    """Table of report calls, written in the transaction that settles their reports."""

    schema = schema.sync_log

    def append(self, connection: Connection, call: Row) -> None:
        """Add a call, and remove all except the last ``KEPT_CALLS`` of its tenant."""
        self.insert(connection, call)
        connection.execute(_FORGET, {"tenant_id": call["tenant_id"], "kept": KEPT_CALLS})

    def last(self, connection: Connection, tenant_id: str, limit: int) -> list[Row]:
        """Return the last calls of a tenant, newest first."""
        newest = self.schema.c.id.desc()
        return self.select(connection, tenant_id=tenant_id, order_by=newest, limit=limit)
