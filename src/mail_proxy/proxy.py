"""The composition root: builds the parts from the settings, starts and stops them."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from mail_proxy.config import ProxyConfig, QueueConfig
from mail_proxy.delivery.dispatcher import Dispatcher
from mail_proxy.delivery.holding import SuspensionSweep
from mail_proxy.delivery.pipeline import Pipeline
from mail_proxy.delivery.retention import Retention
from mail_proxy.domain.tenant import DEFAULT_TENANT
from mail_proxy.encryption import load_key, make_key_file
from mail_proxy.errors import DatabaseUnavailable, EncryptionKeyNotConfigured
from mail_proxy.kit.clock import Clock, SystemClock
from mail_proxy.kit.ids import uuid7
from mail_proxy.kit.worker import Worker
from mail_proxy.operations import service as service_operations
from mail_proxy.operations.access import Authenticator, Caller
from mail_proxy.operations.account_test import AccountTest
from mail_proxy.operations.command_log import CommandLog
from mail_proxy.operations.intake import Intake
from mail_proxy.operations.operation import Door, Signals
from mail_proxy.operations.refusals import Refusals
from mail_proxy.operations.upkeep import Upkeep
from mail_proxy.reporting.reporter import ClientReporter
from mail_proxy.reporting.sync_client import ReportCallable
from mail_proxy.smtp.connection import Connector
from mail_proxy.smtp.pool import SMTPPool
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.smtp.transaction import Timeouts
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.migrations import current as schema_version
from mail_proxy.sql.migrations import upgrade
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.instance import directory_version
from mail_proxy.telemetry.metrics import MailMetrics
from mail_proxy.wire.service import Status, program_version

_log = logging.getLogger("mail_proxy.proxy")
_REAP_SECONDS = 10.0


class MailProxy:
    """One running instance. Build it with ``create``; it is also an async context manager."""

    def __init__(
        self,
        config: ProxyConfig,
        db: SqlDb,
        tables: Tables,
        clock: Clock,
        report_delivery_callable: ReportCallable | None,
    ) -> None:
        self.config = config
        self._db = db
        self._tables = tables
        self._clock = clock
        self._started = time.monotonic()
        self._stopped = False
        self.metrics = MailMetrics()
        self._directory = Directory(db, tables, config.concurrency, config.queue)
        token = config.api_token.get_secret_value() if config.api_token else None
        self.authenticator = Authenticator(token, self._directory, clock)
        self._signals = Signals()
        self.refusals = Refusals(db, tables, clock)
        self.door = Door(db, tables, self._directory, config, self._signals, clock, self.refusals)
        self.intake = Intake(db, tables, self._directory, self._signals, clock, self.refusals)
        self.command_log = CommandLog(self.door, db, tables)
        self.upkeep = Upkeep(self.door, db, tables, self._signals)
        self._pool = SMTPPool(_connector(config), clock=clock)
        sender = SmtpSender(self._pool)
        self.account_test = AccountTest(self.door, self._directory, sender)
        self._reporter = ClientReporter(
            db, tables, self._directory, config, clock, uuid7(), report_delivery_callable
        )
        self._reaper = Worker("smtp.reaper", self._reap)
        self._dispatcher = Dispatcher(
            db,
            tables,
            self._directory,
            Pipeline(sender, clock),
            config,
            self.metrics,
            clock,
            self._reporter.new_events,
        )
        self._sweep = SuspensionSweep(db, tables.held, self._messages_due)
        self._retention = Retention(db, tables, lambda: self.queue, clock)

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
        try:
            key = await asyncio.to_thread(_key, config, db)
            tables = Tables.of(db, key)
            await asyncio.to_thread(_prepare, db, tables, config, key, clock.now())
            proxy = cls(config, db, tables, clock, report_delivery_callable)
            await proxy._start()
        except BaseException:
            await db.close()
            raise
        return proxy

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
        _log.info("action=proxy.stopping")
        await self.intake.drained()
        if self._delivers:
            await self._retention.stop()
            await self._sweep.stop()
            await self._dispatcher.stop()
            await self._reaper.stop()
        await self._reporter.stop()
        await self._pool.close_all()
        await self._db.close()
        _log.info("action=proxy.stopped")

    @property
    def queue(self) -> QueueConfig:
        """The settings that may change at run time, as they are in effect."""
        return self._directory.snapshot.queue

    def status(self, pending: int) -> Status:
        """State of the instance; ``pending`` is the count to show."""
        return Status(
            active=self.config.scheduler_active,
            scheduler_active=self._delivers and self._dispatcher.alive,
            pending_messages=pending,
            uptime_seconds=round(time.monotonic() - self._started, 3),
            version=program_version(),
            database=self._db.adapter.name,
        )

    async def not_ready_reason(self) -> str | None:
        """Why the instance cannot do its work just now; None when it can."""
        try:
            async with asyncio.timeout(5):
                await self._db.read(directory_version)
        except (DatabaseUnavailable, TimeoutError):
            return "the database does not answer"
        if self._delivers and not self._dispatcher.alive:
            return "the dispatcher does not run"
        return None

    async def metrics_text(self) -> bytes:
        """The Prometheus exposition text."""
        admin = Caller(None)
        try:
            pending = await self.door.call(service_operations.pending, admin, None)
            self.metrics.pending.set(pending)
            accounts = (await self._directory.current()).accounts.values()
            troubled = await self._db.read(self._tables.health.troubled)
            self.metrics.announce((a.tenant_id, a.id, a.pk not in troubled) for a in accounts)
        except DatabaseUnavailable:
            # A scrape must say what this process knows when the database is away.
            self.metrics.pending.set(float("nan"))
        return self.metrics.text()

    @property
    def _delivers(self) -> bool:
        return self.config.scheduler_active

    async def _start(self) -> None:
        await self._directory.current()
        self._signals.messages_added = self._messages_added
        self._signals.events_added = self._reporter.new_events
        self._signals.messages_due = self._messages_due
        self._signals.directory_changed = self._directory_changed
        self._signals.run_now = self._run_now
        if self._delivers:
            await self._dispatcher.start()
            self._reaper.start()
            self._sweep.start()
            self._retention.start()
        if self.config.scheduler_active:
            self._reporter.start()
        _log.info("action=proxy.started database=%s", self._db.adapter.name)

    async def _reap(self) -> None:
        await asyncio.sleep(_REAP_SECONDS)
        await self._pool.reap(self._clock.monotonic())

    def _messages_due(self) -> None:
        if not self.config.test_mode:
            self._dispatcher.wake()

    def _directory_changed(self) -> None:
        self._messages_due()
        self._sweep.wake()

    def _messages_added(self, tenants: set[str]) -> None:
        self._messages_due()
        for tenant_id in tenants:
            self._reporter.messages_added(tenant_id)

    def _run_now(self, tenant_id: str | None) -> None:
        self._dispatcher.wake()
        self._reporter.run_now(tenant_id)


def _connector(config: ProxyConfig) -> Connector:
    longest = config.timing.send_timeout
    usual = Timeouts()
    return Connector(
        Timeouts(
            open=min(usual.open, longest),
            command=min(usual.command, longest),
            end_of_data=longest,
            send=longest,
        )
    )


def _key(config: ProxyConfig, db: SqlDb) -> bytes:
    """The encryption key; where none is configured, an empty database gets a new one beside it.

    A database that has been written to never gets another key: its secrets would be lost.
    """
    file = config.key_file
    if file is None and config.database_url.startswith("sqlite:///"):
        file = Path(config.database_url.removeprefix("sqlite:///")).with_name("encryption_key")
    try:
        return load_key(file)
    except EncryptionKeyNotConfigured:
        if file is None or schema_version(db) is not None:
            raise
        make_key_file(file)
        return load_key(file)


def _prepare(db: SqlDb, tables: Tables, config: ProxyConfig, key: bytes, now: float) -> None:
    before, after = upgrade(db, key=key)
    if before != after:
        _log.info("action=schema.upgraded from=%s to=%s", before, after)
    db.write_now(_first_rows, tables, config.name, now)


def _first_rows(connection: Connection, tables: Tables, name: str, now: float) -> None:
    tables.instance.ensure(connection, name, now)
    if tables.tenants.find(connection, id=DEFAULT_TENANT) is None:
        stamps = {"created_at": now, "updated_at": now}
        values = {"id": DEFAULT_TENANT, "name": "Default", "active": True, **stamps}
        tables.tenants.insert(connection, values)
        tables.tenant_sync.insert(connection, {"tenant_id": DEFAULT_TENANT})
