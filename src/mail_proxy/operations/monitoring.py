"""What a scrape tells."""

from __future__ import annotations

import asyncio
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
        self._backlogs = Figures(self._find_backlog, _OLDEST_BACKLOG_SECONDS)
        build = (program_version(), platform.python_version(), db.adapter.name)
        metrics.build_info.of(*build).set(1)
        metrics.pending.of()
        for priority in Priority:
            metrics.queue.of(priority.name.lower())

    async def text(self) -> bytes:
        """The Prometheus exposition text."""
        try:
            pending, backlog = await self._pending.of(_OF_ALL), await self._backlogs.of(None)
            accounts, calls = await self._series(backlog)
        except DatabaseUnavailable:
            # A scrape must say what this process knows when the database is away.
            self._metrics.backlog_unknown()
            return await asyncio.to_thread(self._metrics.text)
        self._metrics.pending.of().set(pending)
        for priority, count in backlog.by_priority.items():
            self._metrics.queue.of(priority.name.lower()).set(count)
        # Of ten thousand accounts it is megabytes: others must not wait for it.
        return await asyncio.to_thread(self._announced, accounts, calls)

    async def _series(self, backlog: Backlog) -> tuple[list[AccountState], list[tuple[str, str]]]:
        """How the accounts are, and calls that may happen."""
        version, troubled = await self._db.read(self._accounts)
        snapshot = await self._directory.at_least(version)
        now = self._clock.now()
        due = backlog.oldest_due_at
        accounts = [
            AccountState(a.tenant_id, a.id, pk not in troubled, max(0.0, now - due.get(pk, now)))
            for pk, a in snapshot.accounts.items()
        ]
        return accounts, [(t, str(outcome)) for t in snapshot.tenants for outcome in CallOutcome]

    def _accounts(self, connection: Connection) -> tuple[int, set[str]]:
        return directory_version(connection), set(self._tables.health.troubled(connection))

    async def _find_backlog(self, _: None) -> Backlog:
        return await self._db.read(backlog)

    def _announced(self, accounts: list[AccountState], calls: list[tuple[str, str]]) -> bytes:
        self._metrics.announce(accounts, calls)
        return self._metrics.text()
