"""What a scrape tells."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Mapping

from mail_proxy.domain.message import Priority
from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.kit.clock import Clock
from mail_proxy.operations.cached_counts import CostCache, PendingCounts
from mail_proxy.operations.callers import Caller
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory, Snapshot
from mail_proxy.sql.messages.counts import Backlog, backlog
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.instance import directory_version
from mail_proxy.telemetry.metrics import AccountState, MailMetrics
from mail_proxy.wire.service import program_version
from mail_proxy.wire.sync_log import CallOutcome

#: It reads the rows of all that waits, which takes longer than counting them.
_OLDEST_BACKLOG_SECONDS = 60.0
_OF_ALL = Caller(None)


class Monitoring:
    """The metrics of this process, with what only the database knows."""

    def __init__(
        self,
        db: SqlDb,
        tables: Tables,
        directory: Directory,
        pending: PendingCounts,
        metrics: MailMetrics,
        clock: Clock,
    ) -> None:
        self._db = db
        self._tables = tables
        self._directory = directory
        self._pending = pending
        self._metrics = metrics
        self._clock = clock
        self._backlogs = CostCache(self._find_backlog, _OLDEST_BACKLOG_SECONDS)
        build = (program_version(), platform.python_version(), db.adapter.name)
        metrics.build_info.of(*build).set(1)
        metrics.pending.of()
        for priority in Priority:
            metrics.queue.of(priority.name.lower())

    async def text(self) -> bytes:
        """The Prometheus exposition text."""
        try:
            pending, waiting = await self._pending.of(_OF_ALL), await self._backlogs.of(None)
            version, troubled = await self._db.read(self._accounts)
            snapshot = await self._directory.at_least(version)
        except DatabaseUnavailable:
            # A scrape must say what this process knows when the database is away.
            self._metrics.backlog_unknown()
            return await asyncio.to_thread(self._metrics.text)
        self._metrics.pending.of().set(pending)
        for priority, count in waiting.by_priority.items():
            self._metrics.queue.of(priority.name.lower()).set(count)
        # Of ten thousand accounts it is megabytes: others must not wait for it.
        due = waiting.oldest_due_at
        return await asyncio.to_thread(self._announced, snapshot, troubled, due)

    def _accounts(self, connection: Connection) -> tuple[int, set[str]]:
        return directory_version(connection), set(self._tables.health.troubled(connection))

    async def _find_backlog(self, _: None) -> Backlog:
        return await self._db.read(backlog)

    def _announced(
        self, snapshot: Snapshot, troubled: set[str], oldest_due_at: Mapping[str, float]
    ) -> bytes:
        now = self._clock.now()
        accounts = (
            AccountState(
                a.tenant_id, a.id, pk not in troubled, max(0.0, now - oldest_due_at.get(pk, now))
            )
            for pk, a in snapshot.accounts.items()
        )
        calls = ((tenant, str(outcome)) for tenant in snapshot.tenants for outcome in CallOutcome)
        self._metrics.announce(accounts, calls)
        return self._metrics.text()
