"""Table of suspended tenants and batches."""

from __future__ import annotations

from sqlalchemy import Connection

from mail_proxy.domain.tenant import EVERYTHING
from mail_proxy.sql import schema
from mail_proxy.sql.table import Table
from mail_proxy.sql.tables.instance import bump_directory


class SuspensionsTable(Table):
    """Table of suspended batches; the batch ``*`` stands for the whole tenant."""

    schema = schema.suspension

    def after_write(self, connection: Connection) -> None:
        bump_directory(connection)

    def of_tenant(self, connection: Connection, tenant_id: str) -> list[str]:
        """Return the suspended batch codes of a tenant, in alphabetical order."""
        rows = self.select(connection, tenant_id=tenant_id, order_by=self.columns["batch_code"])
        return [row["batch_code"] for row in rows]

    def suspend(self, connection: Connection, tenant_id: str, batch_code: str | None) -> None:
        """Suspend a batch, or the whole tenant (None). Doing it twice changes nothing."""
        row = {"tenant_id": tenant_id, "batch_code": batch_code or EVERYTHING}
        if self.find(connection, **row) is None:
            self.insert(connection, row)
