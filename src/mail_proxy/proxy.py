"""The composition root: builds the parts from the settings, starts and stops them."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from mail_proxy.config import ProxyConfig, QueueConfig
from mail_proxy.delivery.engine import DeliveryEngine, connection_pool
from mail_proxy.domain.facts import (
    DirectoryChanged,
    EventsAdded,
    MessagesAdded,
    MessagesDue,
    RunNow,
)
from mail_proxy.domain.tenant import DEFAULT_TENANT
from mail_proxy.kit.bus import Bus
from mail_proxy.kit.clock import Clock, SystemClock
from mail_proxy.kit.ids import uuid7
from mail_proxy.maintenance.clock import ClockWatch
from mail_proxy.maintenance.retention import Retention
from mail_proxy.maintenance.suspension import SuspensionSweep
from mail_proxy.operations.audit_refusals import AuditedRefusals
from mail_proxy.operations.cached_counts import PendingCounts
from mail_proxy.operations.callers import Authenticator
from mail_proxy.operations.door import Door
from mail_proxy.operations.handle_command import Commands
from mail_proxy.operations.keys import find_key
from mail_proxy.operations.monitoring import Monitoring
from mail_proxy.operations.parts import Parts
from mail_proxy.operations.registry import OPERATIONS
from mail_proxy.reporting.reporter import ClientReporter
from mail_proxy.reporting.sync_client import ReportCallable
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.migrations import upgrade
from mail_proxy.sql.pg_notify import HostSignals
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.log import Action, log
from mail_proxy.telemetry.metrics import MailMetrics
from mail_proxy.workers.pipe import WorkerConfig
from mail_proxy.workers.supervisor import WorkerProcesses

#: For calls to applications, where the mail servers have taken all of ``shutdown_timeout``.
_LAST_CALLS_SECONDS = 1.0
#: HostSignals to the other hosts.
_MESSAGES_DUE, _DIRECTORY_CHANGED, _RUN_NOW = "messages", "directory", "run-now:"


class MailProxy:
    """One running instance. Build it with ``create``; it is also an async context manager."""

    def __init__(
        self,
        config: ProxyConfig,
        db: SqlDb,
        tables: Tables,
        key: bytes,
        clock: Clock,
        report_delivery_callable: ReportCallable | None,
    ) -> None:
        self.config = config
        self._db = db
        self._tables = tables
        self._clock = clock
        self._stopped = False
        self.metrics = MailMetrics()
        self._directory = Directory(db, tables, config.concurrency, config.queue)
        token = config.api_token.get_secret_value() if config.api_token else None
        self.authenticator = Authenticator(token, self._directory, clock)
        self.refusals = AuditedRefusals(db, tables, clock)
        self._bus = Bus()
        self._pool = connection_pool(config, clock)
        name = uuid7()
        self._reporter = ClientReporter(
            db,
            tables,
            self._directory,
            config,
            clock,
            name,
            self.metrics,
            report_delivery_callable,
        )
        self._delivery = self._delivering(key)
        parts = Parts(
            db=db,
            tables=tables,
            directory=self._directory,
            config=config,
            clock=clock,
            bus=self._bus,
            sender=SmtpSender(self._pool),
            dispatcher=self._delivery,
            pending=PendingCounts(db, tables),
            started_at=clock.monotonic(),
        )
        self.door = Door(OPERATIONS, parts, self.refusals)
        self.monitoring = Monitoring(parts, self.metrics)
        self._commands = Commands(self.door)
        self._notices = HostSignals(db, name, self._heard)
        self._sweep = SuspensionSweep(db, tables.suspended, self._messages_due)
        self._retention = Retention(db, tables, lambda: self.queue, clock)
        self._clock_guard = ClockWatch(
            db,
            tables.clock_repair,
            clock,
            config.timing.sync_interval,
            self._delivery.clock_set_back,
        )

    @classmethod
    async def create(
        cls,
        config: ProxyConfig | None = None,
        *,
        report_delivery_callable: ReportCallable | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Open the database (with migrations), start the loops.

        ``report_delivery_callable`` gets the reports instead of the tenants' URLs. Raises
        ConfigError, EncryptionError, SchemaTooNew or DatabaseUnavailable; nothing is left open.
        """
        config = config or ProxyConfig()
        clock = clock or SystemClock()
        db = SqlDb(config.database_url)
        async with AsyncExitStack() as unless_started:
            unless_started.push_async_callback(db.close)
            key = await asyncio.to_thread(find_key, config, db)
            tables = Tables.of(db, key)
            await asyncio.to_thread(_prepare, db, tables, config, key, clock.now())
            proxy = cls(config, db, tables, key, clock, report_delivery_callable)
            unless_started.push_async_callback(proxy.stop)
            await proxy._start()
            unless_started.pop_all()
        return proxy

    async def handle_command(
        self, command: str, payload: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Do what the API does, as its administrator: ``addMessages``, ``listAccounts``, ...

        ``payload`` has the fields of the API's body and query; the answer is the API's, also for
        what is wrong with the call: ``{"ok": False, "error", "detail"}``. Raises
        DatabaseUnavailable; then the call may be repeated.
        """
        return await self._commands.run(command, payload or {})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Finish what is in flight within ``shutdown_timeout``, hand back the rest, close.

        Stopping twice changes nothing.
        """
        if self._stopped:
            return
        self._stopped = True
        log(Action.PROXY_STOPPING)
        ends_at = time.monotonic() + self.config.timing.shutdown_timeout
        await self._notices.stop()
        await self.door.drained()
        if self._delivers:
            await self._clock_guard.stop()
            await self._retention.stop()
            await self._sweep.stop()
            await self._delivery.stop()
        await self._reporter.stop(max(_LAST_CALLS_SECONDS, ends_at - time.monotonic()))
        await self._pool.close_all()
        await self._db.close()
        self.metrics.close()
        log(Action.PROXY_STOPPED)

    @property
    def queue(self) -> QueueConfig:
        """The settings that may change at run time, as they are in effect."""
        return self._directory.snapshot.queue

    async def follow_settings(self) -> None:
        """See what this or another process has changed, at once."""
        await self._directory.current()

    @property
    def _delivers(self) -> bool:
        return self.config.scheduler_active

    async def _start(self) -> None:
        await self._directory.current()
        self._bus.subscribe(MessagesAdded, self._messages_added)
        self._bus.subscribe(EventsAdded, lambda _: self._reporter.new_events())
        self._bus.subscribe(MessagesDue, lambda _: self._messages_were_made_due())
        self._bus.subscribe(DirectoryChanged, lambda _: self._directory_was_changed())
        self._bus.subscribe(RunNow, self._run_now)
        if self._delivers:
            await self._delivery.start()
            await self._clock_guard.start()  # after the lease: what a dead process held is back
            self._sweep.start()
            self._retention.start()
        if self.config.scheduler_active:
            self._reporter.start()
        self._notices.start()
        log(Action.PROXY_STARTED, database=self._db.adapter.name)

    def _delivering(self, key: bytes) -> DeliveryEngine | WorkerProcesses:
        count, told = self.config.concurrency.workers, self._reporter.new_events
        if count:
            folder = self.metrics.of_workers
            return WorkerProcesses(WorkerConfig(self.config, key), count, folder, told)
        return DeliveryEngine(
            self._db,
            self._tables,
            self._directory,
            self.config,
            self.metrics,
            self._clock,
            told,
        )

    def _messages_due(self) -> None:
        if not self.config.test_mode:
            self._delivery.wake()

    def _directory_changed(self) -> None:
        self._messages_due()
        self._sweep.wake()

    def _messages_were_made_due(self) -> None:
        self._messages_due()
        self._notices.tell(_MESSAGES_DUE)

    def _directory_was_changed(self) -> None:
        self._directory_changed()
        self._notices.tell(_DIRECTORY_CHANGED)

    def _messages_added(self, fact: MessagesAdded) -> None:
        if not self.config.test_mode:
            self._delivery.messages_added(fact.account_pks)
        self._notices.tell(_MESSAGES_DUE)
        for tenant_id in fact.tenant_ids:
            self._reporter.messages_added(tenant_id)

    def _run_now(self, fact: RunNow) -> None:
        self._run_now_here(fact.tenant_id)
        self._notices.tell(_RUN_NOW + (fact.tenant_id or ""))

    def _run_now_here(self, tenant_id: str | None) -> None:
        self._delivery.wake()
        self._reporter.run_now(tenant_id)

    def _heard(self, notice: str) -> None:
        """Another host has changed something."""
        if notice == _MESSAGES_DUE:
            self._messages_due()
        elif notice == _DIRECTORY_CHANGED:
            self._directory_changed()
        elif notice.startswith(_RUN_NOW):
            self._run_now_here(notice.removeprefix(_RUN_NOW) or None)


def _prepare(db: SqlDb, tables: Tables, config: ProxyConfig, key: bytes, now: float) -> None:
    before, after = upgrade(db, key=key)
    if before != after:
        log(Action.SCHEMA_UPGRADED, before=before, after=after)
    db.write_now(_first_rows, tables, config.name, now)


def _first_rows(connection: Connection, tables: Tables, name: str, now: float) -> None:
    tables.instance.ensure(connection, name, now)
    if tables.tenants.find(connection, id=DEFAULT_TENANT) is None:
        stamps = {"created_at": now, "updated_at": now}
        values = {"id": DEFAULT_TENANT, "name": "Default", "active": True, **stamps}
        tables.tenants.insert(connection, values)
        tables.tenant_sync.insert(connection, {"tenant_id": DEFAULT_TENANT})
