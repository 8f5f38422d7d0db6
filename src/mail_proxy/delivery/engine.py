"""Build the parts that deliver in one process, and start and stop them."""

from __future__ import annotations

import asyncio

from mail_proxy.config import ProxyConfig
from mail_proxy.delivery.claiming import Claimer
from mail_proxy.delivery.courier import Courier
from mail_proxy.delivery.dispatcher import Dispatcher
from mail_proxy.delivery.facts import AccountUsable, OutcomesRecorded
from mail_proxy.delivery.failure_shares import FailureShares
from mail_proxy.delivery.fair_semaphore import FairSemaphore
from mail_proxy.delivery.health import AccountHealth
from mail_proxy.delivery.lanes import Lanes
from mail_proxy.delivery.lease import Lease
from mail_proxy.delivery.limiter import RateLimiter
from mail_proxy.delivery.outcome_log import OutcomeLog
from mail_proxy.delivery.outcome_metrics import OutcomeMetrics
from mail_proxy.delivery.permit import SendPermit
from mail_proxy.delivery.pipeline import FeatureSteps, Pipeline, preparing_steps
from mail_proxy.delivery.recorder import OutcomeRecorder
from mail_proxy.delivery.settlement import Settlement
from mail_proxy.domain.facts import (
    ClockSetBack,
    DirectoryChanged,
    EventsAdded,
    MessagesAdded,
    MessagesDue,
    MessagesReleased,
    RunNow,
)
from mail_proxy.kit.bus import Bus, Fact
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.wakeup import Wakeup
from mail_proxy.kit.worker import Worker
from mail_proxy.network.access_tokens import TokenSource
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.smtp.burst import Timeouts
from mail_proxy.smtp.connection import Connector
from mail_proxy.smtp.pool import SMTPPool
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.smtp.transaction import Observe, observe_nothing
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.metrics import MailMetrics, SmtpTimes

_REAP_SECONDS = 10.0


class DeliveryEngine:
    """Delivery service of this process.

    It consists of dispatcher, lanes, courier, recorder and SMTP pool.
    """

    name = "delivery"

    def __init__(
        self,
        db: SqlDb,
        tables: Tables,
        directory: Directory,
        config: ProxyConfig,
        metrics: MailMetrics,
        clock: Clock,
        bus: Bus,
        *,
        steps: FeatureSteps | None = None,
        tokens: TokenSource | None = None,
    ) -> None:
        """``steps`` are those of features; ``tokens`` has the access tokens of accounts."""
        self._clock = clock
        smtp_times = SmtpTimes(metrics)
        self._pool = connection_pool(config, clock, smtp_times.add, tokens)
        self._reaper = Worker("smtp.reaper", self._reap)
        bell = Wakeup()
        outcome_metrics = OutcomeMetrics(metrics, directory)
        settlement = Settlement(
            config.retry_strategy,
            config.retry.on_uncertain,
            config.retry.account_trouble_max_wait,
        )
        limiter = RateLimiter(tables.rate_use, directory)
        lease = Lease(db, tables.queue, limiter, clock, config.timing.lease_seconds)
        self._outcome_log = OutcomeLog(directory, enabled=config.log_delivery_activity)
        recorder = OutcomeRecorder(db, tables.queue, limiter, self._outcome_log, bus)
        pipeline = Pipeline(
            preparing_steps(steps or {}),
            FairSemaphore(config.concurrency.max_concurrent_sends),
            SmtpSender(self._pool),
        )
        failures = FailureShares(clock)
        courier = Courier(
            SendPermit(lease, directory, clock),
            pipeline,
            settlement,
            recorder,
            AccountHealth(tables, recorder, settlement, outcome_metrics, bus, failures),
            clock,
        )
        lanes = Lanes(courier.carry, settlement, recorder, outcome_metrics, clock, bell, failures)
        self._dispatcher = Dispatcher(
            db, directory, lease, Claimer(tables), lanes, bell, config, clock
        )
        bus.subscribe(OutcomesRecorded, outcome_metrics.outcomes_recorded)
        bus.subscribe(OutcomesRecorded, lambda _: smtp_times.flush())
        bus.subscribe(OutcomesRecorded, lambda _: bus.publish(EventsAdded()))
        bus.subscribe(OutcomesRecorded, self._dispatcher.outcomes_recorded)
        self._wake_on_facts(bus, test_mode=config.test_mode)

    @property
    def alive(self) -> bool:
        """True if the dispatcher runs and may send."""
        return self._dispatcher.alive

    async def start(self) -> None:
        """Begin to deliver. Raises DatabaseUnavailable."""
        await self._dispatcher.start()
        self._reaper.start()

    async def stop(self, deadline: float) -> None:
        """Finish messages in flight by ``deadline`` and release the rest to the queue."""
        await self._dispatcher.stop(deadline)
        await self._reaper.stop()
        self._outcome_log.summarize(is_last=True)
        await self._pool.close_all()

    def _wake_on_facts(self, bus: Bus, *, test_mode: bool) -> None:
        """Wake the dispatcher on facts of the bus; in test mode only on ``RunNow``."""
        dispatcher = self._dispatcher
        bus.subscribe(ClockSetBack, lambda _: dispatcher.clock_set_back())
        waking: list[type[Fact]] = [AccountUsable, RunNow]
        if not test_mode:
            waking += [MessagesDue, MessagesReleased, DirectoryChanged]
            bus.subscribe(MessagesAdded, lambda fact: dispatcher.messages_added(fact.account_pks))
        for kind in waking:
            bus.subscribe(kind, lambda _: dispatcher.wake())

    async def _reap(self) -> None:
        await asyncio.sleep(_REAP_SECONDS)
        await self._pool.reap(self._clock.monotonic())
        self._outcome_log.summarize()


def connection_pool(
    config: ProxyConfig,
    clock: Clock,
    observe: Observe = observe_nothing,
    tokens: TokenSource | None = None,
) -> SMTPPool:
    """Return an empty pool with the timeouts of the settings."""
    longest = config.timing.send_timeout
    usual = Timeouts()
    timeouts = Timeouts(
        open=min(usual.open, longest),
        command=min(usual.command, longest),
        end_of_data=longest,
        send=longest,
    )
    connector = Connector(
        timeouts,
        local_hostname=config.helo_name,
        observe=observe,
        guard=NetworkGuard.of(config),
        tokens=tokens,
    )
    return SMTPPool(connector, clock=clock)
