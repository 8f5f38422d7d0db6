"""Table of rate counters: messages that count against account and tenant limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, func, or_, select

from mail_proxy.domain.limits import MINUTE, WIDTHS, RateLimit, admits_at, bucket_at, leaves_at
from mail_proxy.sql import schema
from mail_proxy.sql.adapters import Shape
from mail_proxy.sql.db import SqlDb

_USE: Shape = (
    ("subject", "text"),
    ("window_seconds", "integer"),
    ("bucket_at", "bigint"),
    ("used", "integer"),
)
Limits = Mapping[str, Sequence[RateLimit]]
#: Clocks of hosts may differ. Counters that are current on another host must not be moved, or a
#: window could hold too much.
_SKEW_SECONDS = 2 * MINUTE


def account_subject(account_pk: str) -> str:
    """Return the name under which an account's messages are counted."""
    return f"account:{account_pk}"


def tenant_subject(tenant_id: str) -> str:
    """Return the name under which a tenant's messages are counted."""
    return f"tenant:{tenant_id}"


@dataclass
class Use:
    """Use of one subject's rate limits: counted messages and messages in flight."""

    limits: Sequence[RateLimit]
    buckets: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    in_flight: int = 0

    def allowance(self, now: float) -> int:
        """Return how many messages may be started now."""
        return min((self._left(limit, now) for limit in self.limits), default=0)

    def admits_at(self, now: float) -> float:
        """Return the first time at which every window admits a message, Unix seconds.

        If that depends on messages in flight, return a time one second from now.
        """
        moments = [
            admits_at(limit, self.buckets.get(limit.window, []), self.in_flight, now)
            for limit in self.limits
        ]
        # The messages in flight decide: check again soon.
        return max((now + 1.0 if m is None else m for m in moments), default=now)

    def _left(self, limit: RateLimit, now: float) -> int:
        counted = sum(
            count
            for start, count in self.buckets.get(limit.window, [])
            if leaves_at(limit.window, start) > now
        )
        return max(0, limit.most - counted - self.in_flight)


class RateUseTable:
    """Table of counters by subject, window and time, not of single messages."""

    def __init__(self, db: SqlDb) -> None:
        self._db = db

    def of(
        self,
        connection: Connection,
        accounts: Limits,
        tenants: Limits,
        now: float,
        *,
        lock: bool,
    ) -> tuple[dict[str, Use], dict[str, Use]]:
        """Return the use of limited accounts (by pk) and tenants (by id).

        With ``lock`` the numbers stay exact until the transaction ends: claims of the same
        subjects wait for each other, tenants first, in the order of their ids.
        """
        if lock:
            self._lock(connection, accounts, tenants)
        m = schema.message.c
        of_accounts = {pk: Use(limits) for pk, limits in accounts.items()}
        of_tenants = {id_: Use(limits) for id_, limits in tenants.items()}
        for uses, column in ((of_accounts, m.account_pk), (of_tenants, m.tenant_id)):
            if uses:
                statement = (
                    select(column, func.count())
                    .where(m.state == "sending", column.in_(list(uses)))
                    .group_by(column)
                )
                for key, count in connection.execute(statement):
                    uses[key].in_flight = count
        by_subject = {account_subject(pk): use for pk, use in of_accounts.items()}
        by_subject |= {tenant_subject(id_): use for id_, use in of_tenants.items()}
        self._read(connection, by_subject, now)
        return of_accounts, of_tenants

    def add(
        self,
        connection: Connection,
        limits: Mapping[str, Sequence[RateLimit]],
        attempts: Iterable[tuple[str, float]],
    ) -> None:
        """Count attempts (subject, Unix seconds), except those of unlimited subjects."""
        counts: dict[tuple[str, int, int], int] = {}
        for subject, instant in attempts:
            for limit in limits.get(subject, ()):
                key = (subject, limit.window, bucket_at(limit.window, instant))
                counts[key] = counts.get(key, 0) + 1
        if counts:
            self.count(connection, counts)

    def count(self, connection: Connection, counts: Mapping[tuple[str, int, int], int]) -> None:
        """Add to the counters. A key has the subject, the window and the bucket."""
        self._db.execute_rows(
            connection,
            "INSERT INTO rate_use (subject, window_seconds, bucket_at, used) "
            "SELECT subject, window_seconds, bucket_at, used FROM rows WHERE true "
            "ON CONFLICT (subject, window_seconds, bucket_at) "
            "DO UPDATE SET used = rate_use.used + excluded.used",
            _USE,
            # In the order of the key, so that two processes never wait for each other.
            [(*key, count) for key, count in sorted(counts.items())],
        )

    def prune(self, connection: Connection, now: float) -> int:
        """Remove counters that are older than their window; return their number."""
        c = schema.rate_use.c
        over = [
            (c.window_seconds == window) & (c.bucket_at < now - window - width)
            for window, width in WIDTHS.items()
        ]
        return connection.execute(delete(schema.rate_use).where(or_(*over))).rowcount

    def repair(self, connection: Connection, now: float) -> int:
        """Move counters of the future to ``now``, after the wall clock was set back.

        Returns the number of moved counters.
        """
        c = schema.rate_use.c
        future = c.bucket_at > now + _SKEW_SECONDS
        rows = connection.execute(
            delete(schema.rate_use).where(future).returning(c.subject, c.window_seconds, c.used)
        ).all()
        counts: dict[tuple[str, int, int], int] = {}
        for subject, window, used in rows:
            key = (subject, window, bucket_at(window, now))
            counts[key] = counts.get(key, 0) + used
        if counts:
            self.count(connection, counts)
        return len(rows)

    def _lock(self, connection: Connection, accounts: Limits, tenants: Limits) -> None:
        for table, column, keys in (
            (schema.tenant, schema.tenant.c.id, tenants),
            (schema.account, schema.account.c.pk, accounts),
        ):
            if keys:
                statement = select(column).where(column.in_(sorted(keys))).order_by(column)
                # FOR NO KEY UPDATE: inserts of messages, which refer to these rows, need not wait.
                connection.execute(statement.with_for_update(key_share=True, of=table))

    def _read(self, connection: Connection, uses: Mapping[str, Use], now: float) -> None:
        wanted = [
            (subject, limit.window, bucket_at(limit.window, now - limit.window) - 60)
            for subject, use in uses.items()
            for limit in use.limits
        ]
        found = self._db.execute_rows(
            connection,
            "SELECT rate_use.subject, rate_use.window_seconds, rate_use.bucket_at, rate_use.used "
            "FROM rows JOIN rate_use ON rate_use.subject = rows.subject "
            "AND rate_use.window_seconds = rows.window_seconds "
            "AND rate_use.bucket_at >= rows.since",
            (("subject", "text"), ("window_seconds", "integer"), ("since", "bigint")),
            wanted,
        )
        for subject, window, bucket, used in found:
            uses[subject].buckets.setdefault(window, []).append((bucket, used))
