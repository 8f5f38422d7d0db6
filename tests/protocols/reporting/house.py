"""Reporters on a database with tenants, their clock in the test's hands."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from tests.harness.rows import add_event, add_messages, add_tenant

from mail_proxy.config import ClientSyncConfig, ProxyConfig, QueueConfig, TimingConfig
from mail_proxy.reporting.reporter import ClientReporter
from mail_proxy.reporting.sync_client import ReportCallable
from mail_proxy.reporting.terms import ReporterSettings
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.table import Row
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.metrics import MailMetrics
from mail_proxy.testing.clock import FakeClock
from mail_proxy.testing.sync_endpoint import ReportCall, SyncEndpoint

INTERVAL = 300.0
#: How long a call may take: more than a busy machine needs for any answer.
CALL_SECONDS = 60.0
#: The same if the answer never comes.
IMPATIENT_SECONDS = 0.5


class House:
    """One database, its tenants, and the reporters that run on it."""

    def __init__(self, db: SqlDb, tables: Tables) -> None:
        self.db = db
        self.tables = tables
        self.clock = FakeClock()
        self.started = self.clock.now()
        self.reporters: list[ClientReporter] = []
        self.accounts: dict[str, str] = {}
        self.pks: dict[tuple[str, str], str] = {}

    async def tenant(self, tenant_id: str = "t", **columns: Any) -> None:
        self.accounts[tenant_id] = await add_tenant(self.db, self.tables, tenant_id, **columns)

    async def event(
        self,
        ids: Sequence[str],
        event_type: str = "sent",
        data: dict[str, Any] | None = None,
        tenant: str = "t",
    ) -> None:
        """Append an event to each message, making those that are missing."""
        new = [i for i in ids if (tenant, i) not in self.pks]
        pks = await add_messages(self.db, self.tables, tenant, self.accounts[tenant], new)
        self.pks.update({(tenant, i): pk for i, pk in zip(new, pks, strict=True)})
        known = [self.pks[tenant, i] for i in ids]
        await add_event(self.db, self.tables, tenant, known, event_type, data, self.clock.now())

    async def reporter(
        self,
        name: str = "me",
        *,
        db: SqlDb | None = None,
        deliver: ReportCallable | None = None,
        sync: ClientSyncConfig | None = None,
        batch: int = 1000,
        call_seconds: float = CALL_SECONDS,
        poll_seconds: float = 0.02,
        test_mode: bool = False,
        report_delay: float = 0.01,
        most_calls: int = 500,
    ) -> ClientReporter:
        """A started reporter; by default it sees within 20 ms that the clock was moved."""
        config = ProxyConfig(
            test_mode=test_mode,
            timing=TimingConfig(
                sync_interval=INTERVAL,
                report_delay=report_delay,
            ),
            queue=QueueConfig(report_batch_size=batch),
            client_sync=sync or ClientSyncConfig(),
        )
        db = db or self.db
        reporter = ClientReporter(
            db,
            self.tables,
            Directory(db, self.tables, config.concurrency),
            self.clock,
            MailMetrics(),
            ReporterSettings.of(
                config,
                name,
                call_seconds=call_seconds,
                poll_seconds=poll_seconds,
                most_calls=most_calls,
            ),
            deliver,
        )
        self.reporters.append(reporter)
        await reporter.start()
        return reporter

    async def stop(self, reporter: ClientReporter, seconds: float = 60.0) -> None:
        """Stop a reporter; calls in flight have so much time, or the reporter's own minimum."""
        await reporter.stop(time.monotonic() + seconds)

    async def settled(self, reporter: ClientReporter) -> None:
        """Return once the reporter has looked at every tenant again and all calls have ended."""
        async with SyncEndpoint() as sentinel:
            name = f"sentinel{len(self.accounts)}"
            await self.tenant(name, client_base_url=sentinel.url)
            reporter.run_now(name)
            await sentinel.wait_for(1)
            await reporter.drained()
            await self.db.write(self._remove, name)

    async def unreported(self, tenant: str = "t") -> list[str]:
        """Ids of messages with events that the tenant does not know, put off or not."""
        far = self.clock.now() + 1e9
        events = await self.db.read(self.tables.events.unreported, tenant, far, 10_000)
        return [e.message_id for e in events]

    async def sync(self, tenant: str = "t") -> Row:
        """Where the conversation with the tenant stands."""

        def work(connection: Any) -> Row:
            return self.tables.tenant_sync.get(connection, tenant_id=tenant)

        return await self.db.read(work)

    async def logged(self, tenant: str = "t") -> list[Row]:
        """The tenant's calls as they are kept, the newest first."""
        return await self.db.read(self.tables.sync_log.last, tenant, 1000)

    def _remove(self, connection: Any, tenant: str) -> None:
        self.tables.tenants.delete(connection, id=tenant)


def ids(calls: Sequence[ReportCall]) -> list[list[str]]:
    """What each call told."""
    return [call.ids for call in calls]
