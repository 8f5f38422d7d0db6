"""Decides which tenants are called now, and keeps their calls apart."""

from __future__ import annotations

import asyncio
from functools import partial

from mail_proxy.config import ProxyConfig
from mail_proxy.domain.facts import EventsAdded, MessagesAdded, RunNow
from mail_proxy.domain.tenant import Tenant
from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.kit.bus import Bus
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.liveness import has_ended, mark, process_space
from mail_proxy.kit.service import seconds_until
from mail_proxy.kit.wakeup import Wakeup
from mail_proxy.kit.worker import Jobs, Worker
from mail_proxy.reporting.conversation import Conversation, Terms
from mail_proxy.reporting.sync_client import (
    CallableChannel,
    ReportCallable,
    ReportChannel,
    SyncClient,
)
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.log import Action, log
from mail_proxy.telemetry.metrics import MailMetrics

_CALL_SECONDS = 30.0
#: Time for calls in flight even if delivery has taken all of ``shutdown_timeout``.
_LAST_CALLS_SECONDS = 1.0
_POLL_SECONDS = 1.0
#: Time for the transactions around a call, and for clocks of several hosts that differ.
_CLAIM_MARGIN_SECONDS = 15.0
#: Calls at once in this process. A tenant has one at most, so this counts tenants: it takes 500
#: that hang at the same moment to hold up another, and those back off after 30 seconds. Each
#: call costs a socket; with the usual limit of 1024 open files half remain for everything else.
_MOST_CALLS = 500


class ClientReporter:
    """Pushes delivery reports to the tenants' applications, each tenant on its own.

    All state is in ``tenant_sync`` and ``message_event``: several processes may run a reporter
    on one database, and a restart changes no due time, back-off or do-not-disturb. A report
    is sent at least once.

    Inactive tenants are still told what already happened to their messages; empty calls, which
    invite new messages, they do not get. A ``report_delivery_callable`` stands for the URL of
    every tenant: it gets empty reports at the interval as well, and what it raises counts as a
    failed call. Where ``config.test_mode`` is set, calls are made after ``run_now`` only.
    """

    name = "reporting"

    def __init__(
        self,
        db: SqlDb,
        tables: Tables,
        directory: Directory,
        config: ProxyConfig,
        clock: Clock,
        instance_id: str,
        metrics: MailMetrics,
        report_delivery_callable: ReportCallable | None = None,
        *,
        call_seconds: float = _CALL_SECONDS,
        poll_seconds: float = _POLL_SECONDS,
        most_calls: int = _MOST_CALLS,
    ) -> None:
        """``instance_id`` names this process among those on the same database.

        ``call_seconds`` is the longest duration of one call. ``poll_seconds`` is how often due
        times and the events of other processes are looked for. ``most_calls`` are made at once.
        """
        self._db = db
        self._sync = tables.tenant_sync
        self._tables = tables
        self._directory = directory
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._callable = report_delivery_callable
        self._call_seconds = call_seconds
        self._most_calls = most_calls
        self._poll_seconds = None if config.test_mode else poll_seconds
        self._space = process_space()
        self._terms = Terms(
            owner=mark(instance_id, self._space),
            claim_seconds=call_seconds + _CLAIM_MARGIN_SECONDS,
            interval_seconds=config.timing.sync_interval,
            batch_size=config.queue.report_batch_size,
            logs_messages=config.log_delivery_activity,
        )
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
        """True while due tenants are looked for."""
        return self._worker.alive

    def follow(self, bus: Bus) -> None:
        """Subscribe to the facts after which tenants are called before the next poll."""
        bus.subscribe(EventsAdded, lambda _: self.new_events())
        bus.subscribe(RunNow, lambda fact: self.run_now(fact.tenant_id))
        bus.subscribe(MessagesAdded, self._added)

    async def start(self) -> None:
        """Start calling. Starting twice changes nothing."""
        if self._channel is None:
            self._channel = self._new_channel()
            self._stopping.clear()
            self._worker.start()
            if self._poll_seconds is not None:
                self._wake()

    async def stop(self, deadline: float) -> None:
        """Let the calls in flight end by ``deadline``, or within a second, then cancel them.

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
        """Something happened to messages: soon call the tenants that do not know it yet.

        Cheap, to be called after each commit on the event loop's thread; the calls of
        ``report_delay`` seconds become one look at the database.
        """
        if self._soon is None and self._channel is not None and self._poll_seconds is not None:
            loop = asyncio.get_running_loop()
            self._soon = loop.call_later(self._config.timing.report_delay, self._wake)

    def messages_added(self, tenant_id: str) -> None:
        """The tenant handed over messages; where it announced some, it is no longer slowed down.

        For intake, after the commit, and only when at least one message was really queued.
        As cheap as ``new_events``.
        """
        self._handed_over.add(tenant_id)
        self.new_events()

    def run_now(self, tenant_id: str | None = None) -> None:
        """Call at once, back-offs or not; returns before the calls are made.

        One tenant: also without anything to report, its do-not-disturb is reset. None: all
        tenants, empty calls only to those that may be disturbed. A call that is in flight is
        followed by another one. An unknown tenant is passed over.
        """
        self._asked.add(tenant_id)
        self._wake()

    def _added(self, added: MessagesAdded) -> None:
        for tenant_id in added.tenant_ids:
            self.messages_added(tenant_id)

    def _new_channel(self) -> ReportChannel:
        if self._callable is not None:
            return CallableChannel(self._callable, self._call_seconds)
        return SyncClient(self._config.client_sync, self._call_seconds)

    def _wake(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self._bell.ring()

    async def _round(self) -> None:
        await self._bell.wait(self._poll_seconds)
        if self._channel is None:
            return
        now = self._clock.now()
        await self._note_wishes(now)
        await self._release_dead()
        due = await self._db.read(self._sync.due, now, self._channel.everyone)
        tenants = (await self._directory.current()).tenants if due else {}
        for tenant in (tenants[id_] for id_ in due if id_ in tenants):
            if len(self._calls) >= self._most_calls:
                break
            if self._channel.reaches(tenant):
                self._calls.start(tenant.id, partial(self._call, tenant, self._channel))

    async def _call(self, tenant: Tenant, channel: ReportChannel) -> None:
        conversation = Conversation(
            self._db, self._tables, self._clock, channel, self._terms, self._metrics
        )
        if await conversation.hold(tenant, self._latest, self._stopping):
            # What happened during the call found the tenant busy.
            self.new_events()

    async def _latest(self, tenant_id: str) -> Tenant | None:
        return (await self._directory.current()).tenants.get(tenant_id)

    async def _release_dead(self) -> None:
        """Call at once those whose caller was killed, instead of waiting for its claim to end."""
        for owner in await self._db.read(self._sync.claimants):
            if has_ended(owner, self._space):
                await self._db.write(self._sync.release, owner)
                log(Action.REPORT_TOOK_OVER, owner=owner)

    async def _note_wishes(self, now: float) -> None:
        """Write down what was asked for; what cannot be written now is kept."""
        for tenant_id in list(self._asked):
            await self._db.write(self._sync.call_now, now, tenant_id)
            self._asked.discard(tenant_id)
        if self._handed_over:
            tenant_ids = list(self._handed_over)
            await self._db.write(self._sync.messages_arrived, now, tenant_ids)
            self._handed_over.difference_update(tenant_ids)
