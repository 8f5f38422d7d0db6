"""Where the conversation with each tenant's application stands."""

from __future__ import annotations

from sqlalchemy import Connection, or_, select, update

from mail_proxy.sql import schema
from mail_proxy.sql.table import Row, Table


class TenantSyncTable(Table):
    """One row a tenant, made with it. Instants are Unix seconds."""

    schema = schema.tenant_sync

    def claim(
        self, connection: Connection, tenant_id: str, owner: str, now: float, until: float
    ) -> Row | None:
        """Become the one caller of this tenant until ``until``; None when another one is.

        Returns the row as it stands.
        """
        c = self.schema.c
        statement = (
            update(self.schema)
            .where(
                c.tenant_id == tenant_id,
                or_(c.claimed_by.is_(None), c.claimed_by == owner, c.claimed_until < now),
            )
            .values(claimed_by=owner, claimed_until=until)
        )
        if connection.execute(statement).rowcount == 0:
            return None
        return self.get(connection, tenant_id=tenant_id)

    def release(self, connection: Connection, tenant_id: str, owner: str, values: Row) -> None:
        """Write how the call went and let others call; nothing when the claim was lost."""
        c = self.schema.c
        connection.execute(
            update(self.schema)
            .where(c.tenant_id == tenant_id, c.claimed_by == owner)
            .values(**values, claimed_by=None, claimed_until=None)
        )

    def due_times(self, connection: Connection) -> dict[str, Row]:
        """Every tenant's row, by tenant id."""
        rows = connection.execute(select(self.schema))
        return {row.tenant_id: dict(row._mapping) for row in rows}
