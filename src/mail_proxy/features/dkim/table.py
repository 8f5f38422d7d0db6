"""Table of DKIM keys, and the copy that each delivering process has in memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mail_proxy.features.dkim.keys import signing_key
from mail_proxy.features.dkim.signature import SigningKey
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

#: The keys of a domain by selector; Damaged if a key cannot be decrypted.
DomainKeys = Mapping[str, SigningKey | Damaged]
#: The keys of all tenants by tenant and domain.
AllKeys = Mapping[tuple[str, str], DomainKeys]

_DEFAULT_SELECTOR = re.compile(r"gmp([1-9][0-9]{0,8})")


class DkimKeysTable(DirectoryTable):
    """One row for each key of a domain; ``record`` is the text of its DNS record."""

    schema = declare_table(
        "dkim_key",
        Column("tenant_id", Text, ForeignKey("tenant.id", ondelete="CASCADE"), primary_key=True),
        Column("domain", Text, primary_key=True),
        Column("selector", Text, primary_key=True),
        Column("algorithm", Text, nullable=False),
        Column("private_key", Sealed, nullable=False),
        Column("record", Text, nullable=False),
        Column("created_at", Instant, info=RECORD_ONLY, nullable=False),
        Column("directory_version", BigInteger, nullable=False, server_default="0", index=True),
    )
    #: One key that cannot be decrypted must not stop the mails of others.
    keeps_damaged = True

    def of_tenant(self, connection: Connection, tenant_id: str | EveryTenant) -> list[Row]:
        """Return the keys in the order of tenants, domains and selectors."""
        order = tuple(self.columns[name] for name in ("tenant_id", "domain", "selector"))
        return self.select(connection, tenant_id=tenant_id, order_by=order)


def next_selector(selectors: Iterable[str]) -> str:
    """Return ``gmp1``, or the number after the highest one that is used."""
    found = (_DEFAULT_SELECTOR.fullmatch(selector) for selector in selectors)
    return f"gmp{max((int(match[1]) for match in found if match), default=0) + 1}"


def renew_keys(
    connection: Connection, tables: Tables, old: AllKeys | None, since_version: int
) -> AllKeys:
    """Return ``old`` with the keys that were added after ``since_version``.

    Removed keys are not looked for: after a removal the directory starts with nothing.
    """
    table = tables.of_feature(DkimKeysTable)
    is_new = table.columns["directory_version"] > since_version
    rows = table.select(connection, is_new, tenant_id=EVERY_TENANT)
    if not rows and old is not None:
        return old
    renewed = dict(old or {})
    for row in rows:
        place = row["tenant_id"], row["domain"]
        renewed[place] = {**renewed.get(place, {}), row["selector"]: _opened(row)}
    return renewed


def _opened(row: Row) -> SigningKey | Damaged:
    pem: str | Damaged = row["private_key"]
    if isinstance(pem, Damaged):
        return pem
    return signing_key(row["domain"], row["selector"], pem)
