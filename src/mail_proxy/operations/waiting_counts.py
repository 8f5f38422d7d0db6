"""Cached counts of unfinished messages by the reason why they wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mail_proxy.config import ProxyConfig
from mail_proxy.domain.tenant import EVERYTHING
from mail_proxy.domain.waiting import Surroundings, WaitReason, why_waiting
from mail_proxy.kit.clock import Clock
from mail_proxy.operations.cached_counts import CostCache
from mail_proxy.operations.wait_reasons import ReadView, View, surroundings
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.messages.counts import WaitingGroup, waiting_groups
from mail_proxy.sql.tables import Tables

_OLDEST_SECONDS = 60.0


@dataclass(frozen=True)
class Waiting:
    """Unfinished messages by reason, in all and of each account (pk).

    ``oldest_due_at`` is the earliest due time among those whose turn has not come.
    """

    by_reason: Counter[WaitReason] = field(default_factory=Counter)
    by_account: Counter[str] = field(default_factory=Counter)
    oldest_due_at: float | None = None


class WaitingCounts:
    """Counts of waiting messages; those of a million messages are up to a minute old."""

    def __init__(self, db: SqlDb, tables: Tables, config: ProxyConfig, clock: Clock) -> None:
        self._db = db
        self._tables = tables
        self._config = config
        self._clock = clock
        #: By tenant; None is the whole instance.
        self._counts = CostCache(self._count, _OLDEST_SECONDS)

    async def of(self, tenant_id: str | None) -> Waiting:
        """Return the counts of one tenant or, with None, of the whole instance."""
        return await self._counts.of(tenant_id)

    async def _count(self, tenant_id: str | None) -> Waiting:
        return await self._db.read(self._find, tenant_id)

    def _find(self, connection: Connection, tenant_id: str | None) -> Waiting:
        view = ReadView(connection, self._tables, self._config, self._clock.now())
        return find_waiting(view, tenant_id)


def find_waiting(view: View, tenant_id: str | None) -> Waiting:
    """Count the unfinished messages of the tenant, or of all tenants, by reason."""
    groups = waiting_groups(view.connection, tenant_id, view.now)
    accounts: dict[str, set[str]] = {}
    for group in groups:
        accounts.setdefault(group.tenant_id, set()).add(group.account_pk)
    around = surroundings(view, accounts)
    found = Waiting()
    oldest: float | None = None
    for group in groups:
        reason = _reason(group, around, view.now)
        found.by_reason[reason] += group.count
        found.by_account[group.account_pk] += group.count
        if reason is WaitReason.QUEUE:
            oldest = min(group.due_at, group.due_at if oldest is None else oldest)
    return replace(found, oldest_due_at=oldest)


def _reason(group: WaitingGroup, around: Mapping[str, Surroundings], now: float) -> WaitReason:
    state = around[group.account_pk]
    if group.suspended:
        state = replace(state, suspended=(EVERYTHING,))
    return why_waiting(group.state, group.due_at, None, None, state, now).reason
