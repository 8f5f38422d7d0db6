"""Table of suppressed addresses, and its copy in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mail_proxy.features.suppressions.address_set import NO_ADDRESSES, AddressSet
from mail_proxy.sql import Connection
from mail_proxy.sql.declare import (
    RECORD_ONLY,
    BigInteger,
    Column,
    ForeignKey,
    Instant,
    Text,
    after,
    declare_table,
)
from mail_proxy.sql.table import EVERY_TENANT, EveryTenant, Row, Table
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.instance import bump_directory

#: The suppressed addresses of each tenant that has any.
AllLists = Mapping[str, AddressSet]


class SuppressionsTable(Table):
    """One row for each address that is, or once was, suppressed.

    A removed address keeps its row with ``removed_at``: processes hear of removals as they hear
    of additions, and need not read the whole list again.
    """

    schema = declare_table(
        "suppression",
        Column("tenant_id", Text, ForeignKey("tenant.id", ondelete="CASCADE"), primary_key=True),
        Column("address", Text, primary_key=True),
        Column("reason", Text, nullable=False),
        Column("detail", Text),
        #: The client's identifier of the message that came back.
        Column("message_id", Text),
        Column("since_at", Instant, info=RECORD_ONLY, nullable=False),
        Column("removed_at", Instant, info=RECORD_ONLY),
        Column("directory_version", BigInteger, nullable=False, server_default="0", index=True),
    )

    def page(
        self,
        connection: Connection,
        tenant_id: str | EveryTenant,
        place: tuple[str, str],
        limit: int,
        reason: str | None = None,
    ) -> list[Row]:
        """Return the suppressed addresses behind ``place``, by tenant and address."""
        order = self.columns["tenant_id"], self.columns["address"]
        only = {} if reason is None else {"reason": reason}
        return self.select(
            connection,
            after(order, place),
            order_by=order,
            limit=limit,
            tenant_id=tenant_id,
            removed_at=None,
            **only,
        )

    def add(self, connection: Connection, tenant_id: str, rows: Iterable[Row]) -> int:
        """Add addresses to the list of a tenant; return the number of those that are new.

        An address that is there keeps its reason and time.
        """
        version, added = None, 0
        for row in rows:
            identity = {"tenant_id": tenant_id, "address": row["address"]}
            known = self.find(connection, **identity)
            if known is not None and known["removed_at"] is None:
                continue
            if version is None:
                version = bump_directory(connection)
            values = {**row, "removed_at": None, "directory_version": version}
            if known is None:
                self.insert(connection, {"tenant_id": tenant_id, **values})
            else:
                self.update(connection, identity, values)
            added += 1
        return added

    def remove(self, connection: Connection, tenant_id: str, address: str, now: float) -> bool:
        """Take an address off the list; return False if it is not on it."""
        identity = {"tenant_id": tenant_id, "address": address}
        known = self.find(connection, **identity)
        if known is None or known["removed_at"] is not None:
            return False
        version = bump_directory(connection)
        self.update(connection, identity, {"removed_at": now, "directory_version": version})
        return True


def renew_lists(
    connection: Connection, tables: Tables, old: AllLists | None, since_version: int
) -> AllLists:
    """Return the lists with the changes since a version; all rows without ``old``."""
    table = tables.of_feature(SuppressionsTable)
    is_new = table.columns["directory_version"] > since_version
    names = ("tenant_id", "address", "removed_at")
    changes: dict[str, tuple[list[str], list[str]]] = {}
    for tenant_id, address, removed_at in table.values(
        connection, names, is_new, tenant_id=EVERY_TENANT
    ):
        lists = changes.setdefault(tenant_id, ([], []))
        lists[removed_at is not None].append(address)
    if not changes and old is not None:
        return old
    renewed = dict(old or {})
    for tenant_id, (added, removed) in changes.items():
        renewed[tenant_id] = renewed.get(tenant_id, NO_ADDRESSES).changed(added, removed)
    return renewed
