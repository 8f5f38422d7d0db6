"""The composition root: builds the parts from the settings, starts and stops them."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from mail_proxy.config import ProxyConfig, QueueConfig
from mail_proxy.delivery.engine import DeliveryEngine, connection_pool
from mail_proxy.domain.tenant import DEFAULT_TENANT
from mail_proxy.errors import MailProxyError
from mail_proxy.features import registry
from mail_proxy.features.feature import ListenerParts, StepParts
from mail_proxy.features.large_files.downloads import Downloads
from mail_proxy.features.large_files.kept import kept_files
from mail_proxy.features.oauth2.tokens import AccessTokens
from mail_proxy.features.ui_sessions.sessions import UiSessions
from mail_proxy.features.unsubscribe.recording import Unsubscribing
from mail_proxy.kit.bus import Bus
from mail_proxy.kit.clock import Clock, SystemClock
from mail_proxy.kit.free_disk import FreeDisk
from mail_proxy.kit.ids import uuid7
from mail_proxy.kit.service import Closing, Service
from mail_proxy.maintenance.clock import ClockWatch
from mail_proxy.maintenance.retention import Retention
from mail_proxy.maintenance.suspension import SuspensionSweep
from mail_proxy.network.tls import system_tls_context
from mail_proxy.operations.audit_refusals import AuditedRefusals
from mail_proxy.operations.cached_counts import PendingCounts
from mail_proxy.operations.callers import Authenticator
from mail_proxy.operations.door import Door
from mail_proxy.operations.handle_command import Commands
from mail_proxy.operations.keys import find_key
from mail_proxy.operations.monitoring import Monitoring
from mail_proxy.operations.parts import Parts
from mail_proxy.operations.quotas import CallRates, quotas_in
from mail_proxy.operations.unsubscribe_links import UnsubscribeLinks
from mail_proxy.operations.waiting_counts import WaitingCounts
from mail_proxy.reporting.reporter import ClientReporter
from mail_proxy.reporting.sync_client import ReportCallable
from mail_proxy.reporting.terms import ReporterSettings
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.migrations import upgrade
from mail_proxy.sql.pg_notify import HostSignals
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.log import ServiceAction, log
from mail_proxy.telemetry.metrics import MailMetrics
from mail_proxy.workers.pipe import WorkerConfig
from mail_proxy.workers.supervisor import WorkerProcesses


class MailProxy:
    """Running instance of the mail proxy; build it with ``create``.

    It is also an async context manager.
    """

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
        self._directory = Directory(
            db, tables, config.concurrency, config.queue, registry.DIRECTORY
        )
        token = config.api_token.get_secret_value() if config.api_token else None
        self.authenticator = Authenticator(token, self._directory, clock)
        self.call_rates = CallRates(quotas_in(self._directory, config.quotas), clock)
        bus = Bus()
        self.refusals = AuditedRefusals(db, tables, clock)
        stepping = StepParts(self._directory, clock, config, db, tables, self.metrics)
        tokens = AccessTokens.of(stepping)
        pool = connection_pool(config, clock, tokens=tokens)
        delivery = self._delivering(key, bus, stepping, tokens) if config.scheduler_active else None
        parts = Parts(
            db=db,
            tables=tables,
            directory=self._directory,
            config=config,
            clock=clock,
            bus=bus,
            sender=SmtpSender(pool),
            tokens=tokens,
            dispatcher=delivery,
            pending=PendingCounts(db, tables),
            waiting=WaitingCounts(db, tables, config, clock),
            unsubscribe_links=UnsubscribeLinks(db, tables.link_secret, config.public_url),
            disk=FreeDisk(db.adapter.folder, int(config.queue.min_free_disk_mb * 1_000_000)),
            started_at=clock.monotonic(),
        )
        self.door = Door(registry.OPERATIONS, parts, self.refusals)
        self.ui_sessions = UiSessions(db, tables, self._directory, clock, config)
        self.monitoring = Monitoring(parts, self.metrics)
        self.unsubscribes = Unsubscribing(parts, parts.unsubscribe_links)
        self.downloads = Downloads(kept_files(db, tables, self._directory, config, clock))
        self._commands = Commands(self.door)
        own_name = uuid7()
        #: In the order of their start; they stop in the reverse order.
        self._services: tuple[Service, ...] = (
            Closing("database", db.close),
            Closing("access tokens", tokens.close),
            Closing("connections", pool.close_all),
            *self._working(delivery, bus, own_name, report_delivery_callable),
            *registry.services(parts),
            Closing("intake", self.door.drained),
            HostSignals(db, own_name, bus),
            *registry.listeners(
                ListenerParts(parts, self.door, self.authenticator, self.refusals, self.call_rates)
            ),
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
            try:
                key = await asyncio.to_thread(find_key, config, db)
                tables = Tables.of(db, key)
                await asyncio.to_thread(_prepare, db, tables, config, key, clock.now())
                proxy = cls(config, db, tables, key, clock, report_delivery_callable)
                unless_started.push_async_callback(proxy.stop)
                await proxy._start()
            except MailProxyError as error:
                error.message = f"database {db.adapter.place}: {error.message}"
                error.args = (error.message,)
                log(ServiceAction.PROXY_FAILED, place=db.adapter.place, reason=error.message)
                raise
            unless_started.pop_all()
        return proxy

    async def handle_command(
        self, command: str, payload: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Run an API command (``addMessages``, ``listAccounts``) as an administrator.

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
        """Finish work in flight within ``shutdown_timeout``, then close everything.

        Stopping twice changes nothing.
        """
        if self._stopped:
            return
        self._stopped = True
        log(ServiceAction.PROXY_STOPPING)
        deadline = time.monotonic() + self.config.timing.shutdown_timeout
        for service in reversed(self._services):
            await service.stop(deadline)
        self.metrics.close()
        log(ServiceAction.PROXY_STOPPED)

    @property
    def queue(self) -> QueueConfig:
        """The settings that may change at run time, as they are in effect."""
        return self._directory.snapshot.queue

    def release_memory(self) -> None:
        """Free the caches of the database connections; blocks for some milliseconds."""
        self._db.renew_connections()

    async def follow_settings(self) -> None:
        """See what this or another process has changed, at once."""
        await self._directory.current()

    async def _start(self) -> None:
        await self._directory.current()
        for service in self._services:
            await service.start()
        adapter = self._db.adapter
        log(ServiceAction.PROXY_STARTED, database=adapter.name, place=adapter.place)

    def _working(
        self,
        delivery: Service | None,
        bus: Bus,
        own_name: str,
        report_delivery_callable: ReportCallable | None,
    ) -> tuple[Service, ...]:
        """Return the services that send and report; none if the scheduler is not active."""
        if delivery is None:
            return ()
        db, tables, clock = self._db, self._tables, self._clock
        reporter = ClientReporter(
            db,
            tables,
            self._directory,
            clock,
            self.metrics,
            ReporterSettings.of(self.config, own_name),
            report_delivery_callable,
        )
        reporter.follow(bus)
        return (
            reporter,
            delivery,
            # After the lease: messages that an ended process held are in the queue again.
            ClockWatch(db, tables, clock, self.config.timing.sync_interval, bus),
            SuspensionSweep(db, tables.suspended, bus),
            Retention(db, tables, self._directory, clock, self.config.quotas.max_audit_entries),
        )

    def _delivering(self, key: bytes, bus: Bus, parts: StepParts, tokens: AccessTokens) -> Service:
        count = self.config.concurrency.workers
        if count:
            worker = WorkerConfig(self.config, key)
            return WorkerProcesses(worker, count, self.metrics.of_workers, bus)
        return DeliveryEngine(
            self._db,
            self._tables,
            self._directory,
            self.config,
            self.metrics,
            self._clock,
            bus,
            steps=registry.delivery_steps(parts),
            tokens=tokens,
        )


def _prepare(db: SqlDb, tables: Tables, config: ProxyConfig, key: bytes, now: float) -> None:
    system_tls_context("smtp")
    system_tls_context("http")
    before, after = upgrade(db, key=key)
    if before != after:
        log(ServiceAction.SCHEMA_UPGRADED, before=before, after=after)
    db.write_now(_first_rows, tables, config.name, now)


def _first_rows(connection: Connection, tables: Tables, name: str, now: float) -> None:
    tables.instance.ensure(connection, name, now)
    if tables.tenants.find(connection, id=DEFAULT_TENANT) is None:
        stamps = {"created_at": now, "updated_at": now}
        values = {"id": DEFAULT_TENANT, "name": "Default", "active": True, **stamps}
        tables.tenants.insert(connection, values)
        tables.tenant_sync.insert(connection, {"tenant_id": DEFAULT_TENANT})
