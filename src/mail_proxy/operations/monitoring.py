"""Render the Prometheus text of one scrape, and say whether the instance is ready."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Mapping

from mail_proxy.domain.message import Priority
from mail_proxy.domain.waiting import WaitReason
from mail_proxy.errors import DatabaseUnavailable, EncryptionKeyChanged
from mail_proxy.operations.cached_counts import CostCache
from mail_proxy.operations.parts import Parts
from mail_proxy.sql import Connection
from mail_proxy.sql.directory import Snapshot
from mail_proxy.sql.messages.counts import Backlog, find_backlog
from mail_proxy.sql.tables.instance import directory_version
from mail_proxy.telemetry.metrics import AccountState, MailMetrics
from mail_proxy.wire.service import program_version
from mail_proxy.wire.sync_log import CallOutcome

#: The backlog is found by reading every waiting row, which takes longer than counting them.
_OLDEST_BACKLOG_SECONDS = 60.0
_LONGEST_CHECK_SECONDS = 5.0


class Monitoring:
    """Metrics and readiness of this process, for callers without a token."""

    def __init__(self, parts: Parts, metrics: MailMetrics) -> None:
        self._parts = parts
        self._metrics = metrics
        self._backlogs = CostCache(self._find_backlog, _OLDEST_BACKLOG_SECONDS)
        build = (program_version(), platform.python_version(), parts.db.adapter.name)
        metrics.build_info.of(*build).set(1)
        metrics.pending.of()
        for priority in Priority:
            metrics.queue.of(priority.name.lower())
        for reason in WaitReason:
            metrics.waiting.of(reason)

    async def text(self) -> bytes:
        """Return the Prometheus exposition text, with the counts that are in the database."""
        try:
            pending, backlog = await self._parts.pending.of(None), await self._backlogs.of(None)
            waiting = await self._parts.waiting.of(None)
            version, troubled = await self._parts.db.read(self._accounts)
            snapshot = await self._parts.directory.at_least(version)
        except DatabaseUnavailable:
            # Without the database, a scrape still gives the figures of this process.
            self._metrics.backlog_unknown()
            return await asyncio.to_thread(self._metrics.text)
        self._metrics.pending.of().set(pending)
        for priority, count in backlog.by_priority.items():
            self._metrics.queue.of(priority.name.lower()).set(count)
        for reason in WaitReason:
            self._metrics.waiting.of(reason).set(waiting.by_reason[reason])
        # Text of ten thousand accounts is megabytes: it is rendered off the event loop.
        due = backlog.oldest_due_at
        return await asyncio.to_thread(self._rendered, snapshot, troubled, due)

    @property
    def delivers(self) -> bool:
        """True if the dispatcher runs."""
        return self._parts.dispatcher is not None and self._parts.dispatcher.alive

    async def not_ready_reason(self) -> str | None:
        """Return why the instance cannot do its work now; None if it can."""
        try:
            async with asyncio.timeout(_LONGEST_CHECK_SECONDS):
                await self._parts.db.read(self._parts.tables.instance.prove_key)
                await self._parts.db.check()
                await self._parts.disk.check()
        except DatabaseUnavailable as error:
            return error.summary
        except TimeoutError:
            return self._parts.db.availability.reason or DatabaseUnavailable.summary
        except EncryptionKeyChanged as error:
            return error.message
        if self._parts.dispatcher is None:
            return "the dispatcher is switched off (scheduler_active)"
        return None if self.delivers else "the dispatcher does not run"

    def _accounts(self, connection: Connection) -> tuple[int, set[str]]:
        return directory_version(connection), self._parts.tables.health.troubled(connection)

    async def _find_backlog(self, _: None) -> Backlog:
        return await self._parts.db.read(find_backlog)

    def _rendered(
        self, snapshot: Snapshot, troubled: set[str], oldest_due_at: Mapping[str, float]
    ) -> bytes:
        now = self._parts.clock.now()
        accounts = (
            AccountState(
                a.tenant_id, a.id, pk not in troubled, max(0.0, now - oldest_due_at.get(pk, now))
            )
            for pk, a in snapshot.accounts.items()
        )
        calls = ((tenant, str(outcome)) for tenant in snapshot.tenants for outcome in CallOutcome)
        self._metrics.announce(accounts, calls)
        return self._metrics.text()
