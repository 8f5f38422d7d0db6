"""What a scrape tells."""

from __future__ import annotations

import asyncio
import math
import platform

from mail_proxy.domain.message import Priority
from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.kit.clock import Clock
from mail_proxy.operations.access import Caller
from mail_proxy.operations.pending import Figures, PendingCounts
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.backlog import Backlog, backlog
from mail_proxy.sql.tables.instance import directory_version
from mail_proxy.telemetry.metrics import MailMetrics
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
        self._backlogs = Figures(self._find_backlog, _OLDEST_BACKLOG_SECONDS)
        build = (program_version(), platform.python_version(), db.adapter.name)
        metrics.build_info.of(*build).set(1)

    async def text(self) -> bytes:
        """The Prometheus exposition text."""
        try:
            self._tell(await self._pending.of(_OF_ALL), await self._backlogs.of(None))
            accounts, calls = await self._series()
        except DatabaseUnavailable:
            # A scrape must say what this process knows when the database is away.
            self._tell(math.nan, None)
            return await asyncio.to_thread(self._metrics.text)
        # Of ten thousand accounts it is megabytes: others must not wait for it.
        return await asyncio.to_thread(self._announced, accounts, calls)

    def _tell(self, pending: float, backlog: Backlog | None) -> None:
        metrics = self._metrics
        metrics.pending.of().set(pending)
        for priority in Priority:
            count = math.nan if backlog is None else backlog.by_priority[priority]
            metrics.queue.of(priority.name.lower()).set(count)
        age = math.nan
        if backlog is not None:
            due_at = backlog.oldest_due_at
            age = 0.0 if due_at is None else max(0.0, self._clock.now() - due_at)
        metrics.oldest_pending.of().set(age)

    async def _series(self) -> tuple[list[tuple[str, str, bool]], list[tuple[str, str]]]:
        """Accounts with whether they are up, and calls that may happen."""
        version, troubled = await self._db.read(self._accounts)
        snapshot = await self._directory.at_least(version)
        accounts = snapshot.accounts.values()
        calls = [(tenant, str(outcome)) for tenant in snapshot.tenants for outcome in CallOutcome]
        return [(a.tenant_id, a.id, a.pk not in troubled) for a in accounts], calls

    def _accounts(self, connection: Connection) -> tuple[int, set[str]]:
        return directory_version(connection), set(self._tables.health.troubled(connection))

    async def _find_backlog(self, _: None) -> Backlog:
        return await self._db.read(backlog)

    def _announced(
        self, accounts: list[tuple[str, str, bool]], calls: list[tuple[str, str]]
    ) -> bytes:
        self._metrics.announce(accounts, calls)
        return self._metrics.text()
