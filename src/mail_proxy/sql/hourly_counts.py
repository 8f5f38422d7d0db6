"""Hourly counters of accounts: messages taken in, their outcomes and reports."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)

from mail_proxy.sql.adapters import Shape
from mail_proxy.sql.db import SqlDb, Tally
from mail_proxy.sql.metadata import metadata
from mail_proxy.sql.types import Pk

HOUR = 3600
#: Tenant, Unix seconds of the hour, account pk, shard.
_Key = tuple[str, int, str, int]
#: Stands for all tenants in a row; no tenant has this id.
EVERYBODY = "*"
COUNTERS = ("queued", "sent", "deferred", "error", "bounced", "complained", "reported")
#: Rows for one hour of an account that several connections may write without waiting.
_SHARDS = 32
_SHARD = "shard"
#: A transaction of this age may still count in an hour that is over; clocks of hosts may differ.
_SETTLING_SECONDS = HOUR
#: Clocks of hosts may differ by less than this.
_SKEW_SECONDS = 120.0

hourly_count = Table(
    "hourly_count",
    metadata,
    Column("tenant_id", Text, ForeignKey("tenant.id", ondelete="CASCADE"), primary_key=True),
    #: Unix seconds of the beginning of the hour.
    Column("hour_at", BigInteger, primary_key=True, autoincrement=False),
    Column("account_pk", Pk, primary_key=True),
    #: 0 on SQLite and for hours that are over; on PostgreSQL the number of a connection.
    Column("shard", Integer, primary_key=True, autoincrement=False),
    *(Column(name, Integer, nullable=False, server_default="0") for name in COUNTERS),
    Index(
        "ix_hourly_count_sharded",
        "hour_at",
        sqlite_where=text("shard <> 0"),
        postgresql_where=text("shard <> 0"),
    ),
    sqlite_with_rowid=False,
)

_KEY: Shape = (
    ("tenant_id", "text"),
    ("hour_at", "bigint"),
    ("account_pk", "uuid"),
    ("shard", "integer"),
)
_TAKE = (
    "DELETE FROM hourly_count WHERE (tenant_id, hour_at, account_pk, shard) IN "
    "(SELECT tenant_id, hour_at, account_pk, shard FROM hourly_count WHERE {where} LIMIT :limit) "
    f"RETURNING tenant_id, hour_at, account_pk, {', '.join(COUNTERS)}"
)
_TAKE_SHARDED = text(_TAKE.format(where="shard <> 0 AND hour_at < :before"))
#: By tenant, because that is how the key begins.
_OF_TENANTS = "tenant_id IN (SELECT id FROM tenant) AND hour_at {compared}"
_TAKE_FUTURE = text(_TAKE.format(where=_OF_TENANTS.format(compared="> :after")))
_PRUNE = text(_TAKE.format(where=_OF_TENANTS.format(compared="< :before")))
_SUMS = ", ".join(f"sum(c.{name}) AS {name}" for name in COUNTERS)
_TOTALS = (
    f"SELECT {_SUMS} FROM tenant CROSS JOIN hourly_count AS c "
    "WHERE c.tenant_id = tenant.id AND c.hour_at >= :from_at {of_tenant}"
)
#: One window of buckets. SQLite takes a CROSS JOIN in the order given.
_WINDOW = (
    "SELECT * FROM (SELECT c.hour_at - c.hour_at % {width} AS bucket_at, "
    f"{{tenant}} AS tenant_id, {{account}} AS account_id, {_SUMS} "
    "FROM tenant CROSS JOIN hourly_count AS c JOIN account ON account.pk = c.account_pk "
    "WHERE c.tenant_id = tenant.id AND c.hour_at >= :from_at AND c.hour_at < :before_at "
    "{of_tenant} GROUP BY 1, 2, 3) AS summed "
    "WHERE (bucket_at, tenant_id, account_id) > (:bucket_at, :after_tenant, :after_account) "
    "ORDER BY bucket_at, tenant_id, account_id LIMIT :limit"
)


@dataclass(frozen=True, slots=True, order=True)
class CountPlace:
    """Place of a row in the order of a listing of counters."""

    bucket_at: int
    tenant_id: str = ""
    account_id: str = ""


@dataclass(frozen=True, slots=True)
class CountRow:
    """Sums of the counters in one bucket. ``account_id`` is empty for all accounts."""

    place: CountPlace
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class CountFilter:
    """Range of buckets of ``width`` seconds, of one tenant or with None of all.

    Without ``by_tenant`` each bucket is one row, with ``EVERYBODY`` as tenant.
    ``from_at`` and ``before_at`` are multiples of the width.
    """

    tenant_id: str | None
    by_account: bool
    width: int
    from_at: int
    before_at: int
    by_tenant: bool = True


class HourlyCounts:
    """Counters by hour, tenant and account, written with the changes that they count.

    On PostgreSQL, each connection counts in rows of its own, chosen among 32 shards: two
    transactions of one account would wait for each other's commit otherwise. Reading adds them up,
    and ``fold`` does when their hour is over. The rows are written last in a transaction and in
    the order of their keys, so two processes that share a shard cannot deadlock.
    """

    def __init__(self, db: SqlDb) -> None:
        self._db = db
        self._has_shards = db.adapter.writers > 1

    def add(self, connection: Connection, counted: Iterable[tuple[str, str, float, str]]) -> None:
        """Count one for each (tenant, account pk, Unix seconds, counter)."""
        tally = self._db.tally(connection, self._write)
        for tenant_id, account_pk, at, counter in counted:
            tally[tenant_id, int(at) // HOUR, account_pk, counter] += 1

    def fold(self, connection: Connection, now: float, limit: int) -> int:
        """Add the shards of hours that are over to one row; return the number of shards."""
        values = {"before": now - HOUR - _SETTLING_SECONDS, "limit": limit}
        rows = connection.execute(_TAKE_SHARDED, values).all()
        self._put(connection, _summed(rows))
        return len(rows)

    def prune(self, connection: Connection, before: float, limit: int) -> int:
        """Remove counters of hours before ``before`` (Unix seconds); return how many."""
        return len(connection.execute(_PRUNE, {"before": before, "limit": limit}).all())

    def repair(self, connection: Connection, now: float, limit: int) -> int:
        """Move counters of future hours to this hour, after the wall clock was set back."""
        values = {"after": now + _SKEW_SECONDS, "limit": limit}
        rows = connection.execute(_TAKE_FUTURE, values).all()
        hour = int(now) // HOUR * HOUR
        self._put(connection, _summed((row[0], hour, *row[2:]) for row in rows))
        return len(rows)

    def totals(
        self, connection: Connection, tenant_id: str | None, from_at: float
    ) -> dict[str, int]:
        """Return the sums of one tenant, or with None of all, since ``from_at``."""
        values: dict[str, Any] = {"from_at": int(from_at)}
        of_tenant = ""
        if tenant_id is not None:
            of_tenant, values["tenant_id"] = "AND tenant.id = :tenant_id", tenant_id
        statement = text(_TOTALS.format(of_tenant=of_tenant))
        row = connection.execute(statement, values).one()
        return {name: int(count or 0) for name, count in zip(COUNTERS, row, strict=True)}

    def page(
        self, connection: Connection, wanted: CountFilter, after: CountPlace | None, limit: int
    ) -> list[CountRow]:
        """Return the first ``limit`` rows behind ``after``, by bucket, tenant and account.

        Buckets without a counter have no row. It reads windows that grow, so that a page costs
        about what it shows, however long the range is.
        """
        place = after or CountPlace(wanted.from_at)
        start, width = place.bucket_at, wanted.width
        rows: list[CountRow] = []
        while start < wanted.before_at and len(rows) < limit:
            end = min(start + width, wanted.before_at)
            rows += self._window(connection, wanted, (start, end), place, limit - len(rows))
            start, width = end, width * 2
        return rows

    def _window(
        self,
        connection: Connection,
        wanted: CountFilter,
        window: tuple[int, int],
        after: CountPlace,
        limit: int,
    ) -> list[CountRow]:
        statement = _WINDOW.format(
            width=int(wanted.width),
            tenant="c.tenant_id" if wanted.by_tenant else f"CAST('{EVERYBODY}' AS text)",
            account="account.id" if wanted.by_account else "CAST('' AS text)",
            of_tenant="" if wanted.tenant_id is None else "AND tenant.id = :tenant_id",
        )
        values: dict[str, Any] = {
            "from_at": window[0],
            "before_at": window[1],
            "bucket_at": after.bucket_at,
            "after_tenant": after.tenant_id,
            "after_account": after.account_id,
            "limit": limit,
        }
        if wanted.tenant_id is not None:
            values["tenant_id"] = wanted.tenant_id
        found = connection.execute(text(statement), values)
        return [
            CountRow(CountPlace(*row[:3]), dict(zip(COUNTERS, map(int, row[3:]), strict=True)))
            for row in found
        ]

    def _write(self, connection: Connection, tally: Tally) -> None:
        shard = self._shard_of(connection)
        rows: dict[_Key, dict[str, int]] = {}
        for (tenant_id, hour, account_pk, counter), count in tally.items():
            rows.setdefault((tenant_id, hour * HOUR, account_pk, shard), {})[counter] = count
        self._put(connection, rows)

    def _put(self, connection: Connection, rows: Mapping[_Key, Mapping[str, int]]) -> None:
        """Add to the rows, in the order of their keys."""
        names = [name for name in COUNTERS if any(name in counts for counts in rows.values())]
        statement, shape = _adding(tuple(names))
        self._db.change_rows(
            connection,
            statement,
            shape,
            [(*key, *(counts.get(n, 0) for n in names)) for key, counts in sorted(rows.items())],
        )

    def _shard_of(self, connection: Connection) -> int:
        if not self._has_shards:
            return 0
        shard: int = connection.info.setdefault(_SHARD, random.randrange(1, _SHARDS + 1))
        return shard


@cache
def _adding(names: tuple[str, ...]) -> tuple[str, Shape]:
    """Return a statement that adds to these counters, and the shape of its rows."""
    shape = (*_KEY, *((name, "integer") for name in names))
    columns = [name for name, _ in shape]
    statement = (
        f"INSERT INTO hourly_count ({', '.join(columns)}) "
        f"SELECT {', '.join(f'rows.{name}' for name in columns)} FROM rows WHERE true "
        "ON CONFLICT (tenant_id, hour_at, account_pk, shard) DO UPDATE SET "
        + ", ".join(f"{name} = hourly_count.{name} + excluded.{name}" for name in names)
    )
    return statement, shape


def _summed(rows: Iterable[Any]) -> dict[_Key, Tally]:
    """Return the sums of rows of (tenant, hour, account pk, counters), for shard 0."""
    sums: dict[_Key, Tally] = {}
    for tenant_id, hour, account_pk, *counts in rows:
        total = sums.setdefault((tenant_id, hour, account_pk, 0), Counter())
        total.update(dict(zip(COUNTERS, counts, strict=True)))
    return sums
