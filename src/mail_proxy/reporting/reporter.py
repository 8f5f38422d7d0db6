"""Call due tenants with their delivery reports, each tenant in a job of its own."""

from __future__ import annotations

import asyncio
from functools import partial

from mail_proxy.domain.facts import EventsAdded, MessagesAdded, RunNow
from mail_proxy.domain.tenant import Tenant
from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.kit.bus import Bus
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.liveness import has_ended, process_space
from mail_proxy.kit.service import seconds_until
from mail_proxy.kit.wakeup import Wakeup
from mail_proxy.kit.worker import Jobs, Worker
from mail_proxy.reporting.call_log import CallLog
from mail_proxy.reporting.conversation import Conversation
from mail_proxy.reporting.sync_client import (
    CallableChannel,
    ReportCallable,
    ReportChannel,
    SyncClient,
)
from mail_proxy.reporting.terms import ReporterSettings
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.log import Action, log
from mail_proxy.telemetry.metrics import MailMetrics

#: Time for calls in flight even if delivery has taken all of ``shutdown_timeout``.
_LAST_CALLS_SECONDS = 1.0


class ClientReporter:
    """Service that sends delivery reports to the tenants' applications, independently.

    All state is in ``tenant_sync`` and ``message_event``: several processes may run a reporter
    on one database, and a restart changes no due time, back-off or do-not-disturb. A report
    is sent at least once.

    Inactive tenants still get reports about their messages. They do not get empty calls, which
    invite new messages. A ``report_delivery_callable`` replaces the URL of every tenant. It gets
    empty reports at the interval as well, and an error that it raises counts as a failed call.
    Without ``poll_seconds`` (test mode), calls are made after ``run_now`` only.
    """

    name = "reporting"

    def __init__(
        self,
        db: SqlDb,
        tables: Tables,
        directory: Directory,
        clock: Clock,
        metrics: MailMetrics,
        settings: ReporterSettings,
        report_delivery_callable: ReportCallable | None = None,
    ) -> None:
        self._db = db
        self._sync = tables.tenant_sync
        self._tables = tables
        self._directory = directory
        self._clock = clock
        self._metrics = metrics
        self._settings = settings
        self._terms = settings.terms
        self._call_log = CallLog(each_message=settings.terms.logs_messages)
        self._callable = report_delivery_callable
        self._space = process_space()
        self._channel: ReportChannel | None = None
        self._worker = Worker("reporting", self._round)
        self._calls = Jobs("reporting")
        self._bell = Wakeup()
        self._soon: asyncio.TimerHandle | None = None
        self._handed_over: set[str] = set()
        self._asked: set[str | None] = set()
        self._stopping = asyncio.Event()

    @property
    def alive(self) -> bool:
        """True if the loop that looks for due tenants runs."""
        return self._worker.alive

    def follow(self, bus: Bus) -> None:
        """Subscribe to the facts that make tenants due before the next poll."""
        bus.subscribe(EventsAdded, lambda _: self.new_events())
        bus.subscribe(RunNow, lambda fact: self.run_now(fact.tenant_id))
        bus.subscribe(MessagesAdded, self._added)

    async def start(self) -> None:
        """Start calling due tenants. Starting twice changes nothing."""
        if self._channel is None:
            self._channel = self._new_channel()
            self._stopping.clear()
            self._worker.start()
            if self._settings.poll_seconds is not None:
                self._wake()

    async def stop(self, deadline: float) -> None:
        """Wait for calls in flight until ``deadline``, or a second; then cancel them.

        The reports of a cancelled call are sent again by the next process. Stopping twice changes
        nothing.
        """
        channel, self._channel = self._channel, None
        if channel is None:
            return
        self._stopping.set()
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        await self._worker.stop()
        await self._calls.stop(max(_LAST_CALLS_SECONDS, seconds_until(deadline)))
        await channel.close()
        try:
            await self._db.write(self._sync.release, self._terms.owner)
        except DatabaseUnavailable as error:
            log(Action.REPORT_NOT_HANDED_BACK, reason=error.message)

    async def drained(self) -> None:
        """Wait until no call is in flight."""
        await self._calls.drained()

    def new_events(self) -> None:
        """Call the tenants that have unreported events soon, within ``delay_seconds``.

        Cheap. Call it after each commit that adds events, on the event loop's thread: all calls of
        ``delay_seconds`` lead to one look at the database.
        """
        settings = self._settings
        if self._soon is None and self._channel is not None and settings.poll_seconds is not None:
            loop = asyncio.get_running_loop()
            self._soon = loop.call_later(settings.delay_seconds, self._wake)

    def messages_added(self, tenant_id: str) -> None:
        """End the slow calling of a tenant that had announced messages and now added some.

        Call it after the commit of an intake, and only if at least one message was queued. As
        cheap as ``new_events``.
        """
        self._handed_over.add(tenant_id)
        self.new_events()

    def run_now(self, tenant_id: str | None = None) -> None:
        """Call one tenant or all at once, also during a back-off; return before the calls.

        One tenant is called even if there is nothing to report, and its do-not-disturb is reset.
        None: all tenants, and empty calls only to those that may be disturbed. A call in flight is
        followed by another one. An unknown tenant is ignored.
        """
        self._asked.add(tenant_id)
        self._wake()

    def _added(self, added: MessagesAdded) -> None:
        for tenant_id in added.tenant_ids:
            self.messages_added(tenant_id)

    def _new_channel(self) -> ReportChannel:
        if self._callable is not None:
            return CallableChannel(self._callable, self._settings.call_seconds)
        settings = self._settings
        return SyncClient(settings.fallback, settings.call_seconds, settings.guard)

    def _wake(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._bell.ring()

    async def _round(self) -> None:
        await self._bell.wait(self._settings.poll_seconds)
        if self._channel is None:
            return
        now = self._clock.now()
        await self._write_requests(now)
        await self._release_dead()
        due = await self._db.read(self._sync.due, now, self._channel.everyone)
        tenants = (await self._directory.current()).tenants if due else {}
        for tenant in (tenants[id_] for id_ in due if id_ in tenants):
            if len(self._calls) >= self._settings.most_calls:
                break
            if self._channel.reaches(tenant):
                self._calls.start(tenant.id, partial(self._call, tenant, self._channel))

    async def _call(self, tenant: Tenant, channel: ReportChannel) -> None:
        conversation = Conversation(
            self._db, self._tables, self._clock, channel, self._terms, self._metrics, self._call_log
        )
        if await conversation.hold(tenant, self._latest, self._stopping):
            # Events that were added during the call found the tenant busy.
            self.new_events()

    async def _latest(self, tenant_id: str) -> Tenant | None:
        return (await self._directory.current()).tenants.get(tenant_id)

    async def _release_dead(self) -> None:
        """Release the tenants of killed processes, before their claims expire."""
        for owner in await self._db.read(self._sync.claimants):
            if has_ended(owner, self._space):
                await self._db.write(self._sync.release, owner)
                log(Action.REPORT_TOOK_OVER, owner=owner)

    async def _write_requests(self, now: float) -> None:
        """Write the requests of ``run_now`` and ``messages_added`` to the database.

        Requests that cannot be written now are kept for the next round.
        """
        for tenant_id in list(self._asked):
            await self._db.write(self._sync.call_now, now, tenant_id)
            self._asked.discard(tenant_id)
        if self._handed_over:
            tenant_ids = list(self._handed_over)
            await self._db.write(self._sync.messages_arrived, now, tenant_ids)
            self._handed_over.difference_update(tenant_ids)
