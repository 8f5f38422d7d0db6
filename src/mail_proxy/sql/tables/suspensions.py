"""What of a tenant's queue stands still on request."""

from __future__ import annotations

from sqlalchemy import Connection

from mail_proxy.domain.tenant import EVERYTHING
from mail_proxy.sql import schema
from mail_proxy.sql.table import Table
from mail_proxy.sql.tables.instance import bump_directory


class SuspensionsTable(Table):
    """One row for each suspended batch of a tenant; ``*`` stands for all it has."""

    schema = schema.suspension

    def after_write(self, connection: Connection) -> None:
        bump_directory(connection)

    def of_tenant(self, connection: Connection, tenant_id: str) -> list[str]:
        """Suspended batch codes in order."""
        rows = self.select(connection, tenant_id=tenant_id, order_by=self.columns["batch_code"])
        return [row["batch_code"] for row in rows]

    def suspend(self, connection: Connection, tenant_id: str, batch_code: str | None) -> None:
        """Add a batch, or everything; adding twice changes nothing."""
        row = {"tenant_id": tenant_id, "batch_code": batch_code or EVERYTHING}
        if self.find(connection, **row) is None:
            self.insert(connection, row)
