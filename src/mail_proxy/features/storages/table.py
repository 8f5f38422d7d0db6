"""Table of storages, and the mounts that each process has in memory."""

from __future__ import annotations

import orjson

from mail_proxy.sql import Connection
from mail_proxy.sql.declare import (
    RECORD_ONLY,
    BigInteger,
    Column,
    ForeignKey,
    Instant,
    Sealed,
    Text,
    declare_table,
)
from mail_proxy.sql.table import EVERY_TENANT, Damaged, EveryTenant, Row
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.instance import DirectoryTable
from mail_proxy.storage.mount import Mount, Mounts

NAME = "storages"


class StoragesTable(DirectoryTable):
    """One row for each storage of a tenant; ``config`` is encrypted JSON.

    ``trusted`` is 1 if the administrator saved the place, else 0.
    """

    schema = declare_table(
        "storage",
        Column("tenant_id", Text, ForeignKey("tenant.id", ondelete="CASCADE"), primary_key=True),
        Column("name", Text, primary_key=True),
        Column("protocol", Text, nullable=False),
        Column("config", Sealed, nullable=False),
        Column("trusted", BigInteger, nullable=False),
        Column("created_at", Instant, info=RECORD_ONLY, nullable=False),
        Column("updated_at", Instant, info=RECORD_ONLY, nullable=False),
        Column("directory_version", BigInteger, nullable=False, server_default="0", index=True),
    )
    #: One storage that cannot be decrypted must not stop the others.
    keeps_damaged = True

    def of_tenant(self, connection: Connection, tenant_id: str | EveryTenant) -> list[Row]:
        """Return the storages in the order of tenants and names."""
        order = self.columns["tenant_id"], self.columns["name"]
        return self.select(connection, tenant_id=tenant_id, order_by=order)

    def before_write(self, connection: Connection, values: Row) -> Row:
        values = super().before_write(connection, values)
        config = values.get("config")
        return {**values, "config": orjson.dumps(config).decode()} if config is not None else values

    def _open(self, row: Row) -> Row:
        row = super()._open(row)
        if isinstance(row["config"], str):
            row["config"] = orjson.loads(row["config"])
        return row


def renew_mounts(
    connection: Connection, tables: Tables, old: Mounts | None, since_version: int
) -> Mounts:
    """Return ``old`` with the storages that were saved after ``since_version``.

    Removed storages are not looked for: after a removal the directory starts with nothing.
    """
    table = tables.of_feature(StoragesTable)
    is_new = table.columns["directory_version"] > since_version
    rows = table.select(connection, is_new, tenant_id=EVERY_TENANT)
    if not rows and old is not None:
        return old
    return {**(old or {}), **{(row["tenant_id"], row["name"]): _mount(row) for row in rows}}


def _mount(row: Row) -> Mount:
    config = row["config"]
    is_damaged = isinstance(config, Damaged)
    return Mount(
        tenant_id=row["tenant_id"],
        name=row["name"],
        protocol=row["protocol"],
        config={} if is_damaged else config,
        trusted=bool(row["trusted"]),
        damage=config.reason if is_damaged else None,
    )
