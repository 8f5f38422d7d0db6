"""Table of suspended tenants and batches."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from mail_proxy.domain.tenant import EVERYTHING
from mail_proxy.sql import schema
from mail_proxy.sql.table import EVERY_TENANT, Table
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

    def of_tenants(
        self, connection: Connection, tenant_ids: Sequence[str]
    ) -> dict[str, frozenset[str]]:
        """Return the suspended batch codes of those tenants that have any."""
        among = self.columns["tenant_id"].in_(tenant_ids)
        found: dict[str, set[str]] = {}
        for row in self.select(connection, among, tenant_id=EVERY_TENANT):
            found.setdefault(row["tenant_id"], set()).add(row["batch_code"])
        return {tenant_id: frozenset(codes) for tenant_id, codes in found.items()}

    def suspend(self, connection: Connection, tenant_id: str, batch_code: str | None) -> None:
        """Suspend a batch, or the whole tenant (None). Doing it twice changes nothing."""
        row = {"tenant_id": tenant_id, "batch_code": batch_code or EVERYTHING}
        if self.find(connection, **row) is None:
            self.insert(connection, row)

    def suspend_everyone(self, connection: Connection) -> int:
        """Suspend every tenant; return how many there are."""
        tenant_ids = list(connection.execute(select(schema.tenant.c.id)).scalars())
        for tenant_id in tenant_ids:
            self.suspend(connection, tenant_id, None)
        return len(tenant_ids)
