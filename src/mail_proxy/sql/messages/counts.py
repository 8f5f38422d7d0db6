"""Counts and ages of waiting messages, for metrics."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from mail_proxy.domain.message import Priority
from mail_proxy.domain.tenant import EVERYTHING
from mail_proxy.sql import conditions, schema
from mail_proxy.sql.types import Instant, Pk

_COUNTS = ", ".join(f"count(*) FILTER (WHERE priority = {int(p)}) AS p{int(p)}" for p in Priority)
_SUMS = ", ".join(f"sum(p{int(p)})" for p in Priority)
#: One count for each partial index; a condition over all of them would use none.
_PARTS = " UNION ALL ".join(
    f"SELECT {_COUNTS} FROM message WHERE {where}"
    for where in (conditions.ready(), conditions.held(), conditions.sending())
)
_BY_PRIORITY = text(f"SELECT {_SUMS} FROM ({_PARTS}) AS parts")

_WAITING = f"FROM message WHERE {conditions.ready()}"
_PRIORITIES = " UNION ALL ".join(f"SELECT {int(p)} AS number" for p in Priority)
#: By stepping from one account to the next through an index that begins with account and
#: priority, and taking the first of each; no index is in the order of due times.
_OLDEST_DUE = text(
    f"WITH RECURSIVE found(pk) AS (SELECT (SELECT account_pk {_WAITING} ORDER BY account_pk "
    f"LIMIT 1) UNION ALL SELECT (SELECT account_pk {_WAITING} AND account_pk > found.pk "
    "ORDER BY account_pk LIMIT 1) FROM found WHERE found.pk IS NOT NULL) "
    f"SELECT found.pk, min((SELECT due_at {_WAITING} AND account_pk = found.pk "
    "AND priority = priorities.number ORDER BY due_at LIMIT 1)) AS due_at "
    "FROM found JOIN account ON account.pk = found.pk JOIN tenant ON tenant.id = account.tenant_id "
    f"CROSS JOIN ({_PRIORITIES}) AS priorities WHERE tenant.active AND NOT EXISTS (SELECT 1 "
    f"FROM suspension WHERE tenant_id = tenant.id AND batch_code = '{EVERYTHING}') "
    "GROUP BY found.pk"
)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Unfinished messages by priority, and the age of each account's queue.

    ``oldest_due_at`` is, by account pk, the earliest due time (Unix seconds) of messages that
    wait and are not suspended. It may lie in the future.
    """

    by_priority: dict[Priority, int]
    oldest_due_at: dict[str, float]


@dataclass(frozen=True, slots=True)
class WaitingGroup:
    """Number of unfinished messages of one account that wait in the same way.

    ``due_at`` is the earliest due time. ``suspended``: their batch is suspended. ``later``: their
    due time has not come. ``paused``: they are due before the account's pause ends.
    """

    tenant_id: str
    account_pk: str
    state: str
    suspended: bool
    later: bool
    paused: bool
    count: int
    due_at: float


def waiting_groups(connection: Connection, tenant_id: str | None, now: float) -> list[WaitingGroup]:
    """Return the unfinished messages in groups, of one tenant or with None of all.

    Reads all waiting rows: seconds for a million.
    """
    m, health, account = schema.message.c, schema.account_health.c, schema.account.c
    later = (m.due_at > now).label("later")
    paused = (health.account_pk.is_not(None) & (m.due_at <= health.retry_at)).label("paused")
    suspension = schema.suspension.c
    of_batch = (suspension.tenant_id == m.tenant_id) & (suspension.batch_code == m.batch_code)
    # A message that joined a suspended batch a moment ago is not held yet.
    suspended = (m.held | select(suspension.batch_code).where(of_batch).exists()).label("suspended")
    keys = (m.tenant_id, m.account_pk, m.state, suspended, later, paused)
    of_account = health.account_pk == m.account_pk
    grouped = (
        select(*keys, func.count(), func.min(m.due_at))
        .join_from(schema.message, schema.account_health, of_account, isouter=True)
        .group_by(*keys)
    )
    if tenant_id is not None:
        owned = select(account.pk).where(account.tenant_id == tenant_id)
        grouped = grouped.where(m.account_pk.in_(owned))
    # Each condition has a partial index; one over all of them would read finished messages too.
    kinds = (conditions.ready(), conditions.held(), conditions.sending())
    parts = [connection.execute(grouped.where(text(kind))) for kind in kinds]
    return [
        WaitingGroup(tenant, pk, state, bool(held), bool(late), bool(pause), count, due_at)
        for part in parts
        for tenant, pk, state, held, late, pause, count, due_at in part
    ]


def backlog(connection: Connection) -> Backlog:
    """Return the instance's backlog. Reads all waiting rows: a second for a million."""
    counts = connection.execute(_BY_PRIORITY).one()
    oldest = connection.execute(_OLDEST_DUE.columns(pk=Pk, due_at=Instant))
    return Backlog(
        {priority: int(count) for priority, count in zip(Priority, counts, strict=True)},
        dict(tuple(row) for row in oldest),
    )
