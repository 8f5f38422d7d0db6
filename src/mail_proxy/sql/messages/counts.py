"""Counts and ages of waiting messages, for metrics."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, TextClause, text

from mail_proxy.domain.message import Priority
from mail_proxy.domain.tenant import EVERYTHING
from mail_proxy.sql import conditions
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


#: Accounts with waiting messages, of all tenants and of one.
_ACCOUNTS = (
    f"RECURSIVE found(pk) AS (SELECT (SELECT account_pk {_WAITING} ORDER BY account_pk LIMIT 1) "
    f"UNION ALL SELECT (SELECT account_pk {_WAITING} AND account_pk > found.pk "
    "ORDER BY account_pk LIMIT 1) FROM found WHERE found.pk IS NOT NULL)",
    "found(pk) AS (SELECT pk FROM account WHERE tenant_id = :tenant_id)",
)
_OF_ACCOUNT = f"{_WAITING} AND account_pk = found.pk AND priority = priorities.number"
_IS_PAUSED = "health.account_pk IS NOT NULL AND message.due_at <= health.retry_at"
_IS_SUSPENDED = (
    "EXISTS (SELECT 1 FROM suspension WHERE suspension.tenant_id = message.tenant_id "
    "AND suspension.batch_code = message.batch_code)"
)
_HEALTH = "LEFT JOIN account_health AS health ON health.account_pk = message.account_pk"


def _of_all_and_of_one(statement: str, of_tenant: str = "") -> tuple[TextClause, TextClause]:
    """Return a statement about all tenants, and one about the tenant ``:tenant_id``."""
    every, one = _ACCOUNTS
    return (
        text(statement.format(accounts=every, of_tenant="")),
        text(statement.format(accounts=one, of_tenant=of_tenant)),
    )


_OF_TENANT = "AND message.tenant_id = :tenant_id"
_DUE = _of_all_and_of_one(
    "WITH {accounts} SELECT account.tenant_id, account.pk, 'pending', false, false, false, "
    f"sum((SELECT count(*) {_OF_ACCOUNT} AND due_at <= :now)), "
    f"min((SELECT due_at {_OF_ACCOUNT} ORDER BY due_at LIMIT 1)) "
    f"FROM found JOIN account ON account.pk = found.pk CROSS JOIN ({_PRIORITIES}) AS priorities "
    "GROUP BY account.tenant_id, account.pk"
)
_LATER = _of_all_and_of_one(
    f"WITH {{accounts}} SELECT message.tenant_id, message.account_pk, state, {_IS_SUSPENDED}, "
    f"true, {_IS_PAUSED}, count(*), min(due_at) FROM found CROSS JOIN ({_PRIORITIES}) "
    "AS priorities CROSS JOIN message "
    f"{_HEALTH} WHERE {conditions.ready()} AND message.account_pk = found.pk "
    "AND message.priority = priorities.number AND message.due_at > :now "
    "GROUP BY 1, 2, 3, 4, 6"
)
_JOINED = _of_all_and_of_one(
    "SELECT message.tenant_id, message.account_pk, 'pending', true, false, false, count(*), "
    "min(due_at) FROM suspension CROSS JOIN message "
    "WHERE message.tenant_id = suspension.tenant_id "
    "AND message.batch_code = suspension.batch_code "
    f"AND {conditions.ready_of_batch()} AND due_at <= :now {{of_tenant}} GROUP BY 1, 2",
    _OF_TENANT,
)
# The order of its groups makes SQLite choose the index of held messages.
_HELD = _of_all_and_of_one(
    "SELECT message.tenant_id, message.account_pk, 'pending', true, false, false, count(*), "
    f"min(due_at) FROM message WHERE {conditions.held()} {{of_tenant}} "
    "GROUP BY message.tenant_id, message.batch_code, message.account_pk",
    _OF_TENANT,
)
_SENDING = _of_all_and_of_one(
    "SELECT account.tenant_id, sending.account_pk, 'sending', false, false, false, number, due_at "
    "FROM (SELECT account_pk, count(*) AS number, min(due_at) AS due_at FROM message "
    f"WHERE {conditions.sending()} GROUP BY account_pk) AS sending "
    "JOIN account ON account.pk = sending.account_pk {of_tenant}",
    "AND account.tenant_id = :tenant_id",
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

    Messages that are due are counted in an index, all others are read: about a second for a
    million of either.
    """
    values = {"now": now, "tenant_id": tenant_id}
    place = 0 if tenant_id is None else 1  # in a pair of _of_all_and_of_one

    def found(statements: tuple[TextClause, TextClause]) -> list[WaitingGroup]:
        rows = connection.execute(statements[place], values)
        return [
            WaitingGroup(tenant, pk, state, bool(held), bool(late), bool(pause), int(count), due_at)
            for tenant, pk, state, held, late, pause, count, due_at in rows
        ]

    # A message that joined a suspended batch a moment ago is not held yet.
    joined = found(_JOINED)
    of_joined = {group.account_pk: group.count for group in joined}
    due = [
        replace(group, count=group.count - of_joined.get(group.account_pk, 0))
        for group in found(_DUE)
    ]
    groups = [*due, *joined, *found(_LATER), *found(_HELD), *found(_SENDING)]
    return [group for group in groups if group.count > 0]


def find_backlog(connection: Connection) -> Backlog:
    """Return the instance's backlog. Reads all waiting rows: a second for a million."""
    counts = connection.execute(_BY_PRIORITY).one()
    oldest = connection.execute(_OLDEST_DUE.columns(pk=Pk, due_at=Instant))
    return Backlog(
        {priority: int(count) for priority, count in zip(Priority, counts, strict=True)},
        dict(tuple(row) for row in oldest),
    )
