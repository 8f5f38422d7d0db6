"""Build the parts that deliver in one process, and start and stop them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from mail_proxy.config import ProxyConfig
from mail_proxy.delivery.claiming import Claimer
from mail_proxy.delivery.courier import Courier
from mail_proxy.delivery.dispatcher import Dispatcher
from mail_proxy.delivery.facts import AccountUsable, OutcomesRecorded
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
from mail_proxy.kit.bus import Bus
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.wakeup import Wakeup
from mail_proxy.kit.worker import Worker
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
    """A dispatcher with everything that it uses: lanes, courier, recorder, SMTP pool."""

    def __init__(
        self,
        db: SqlDb,
        tables: Tables,
        directory: Directory,
        config: ProxyConfig,
        metrics: MailMetrics,
        clock: Clock,
        events_added: Callable[[], None],
        *,
        steps: FeatureSteps | None = None,
    ) -> None:
        """``events_added`` is called after each commit; ``steps`` are those of features."""
        self._clock = clock
        smtp_times = SmtpTimes(metrics)
        self._pool = connection_pool(config, clock, smtp_times.add)
        self._reaper = Worker("smtp.reaper", self._reap)
        bus, bell = Bus(), Wakeup()  # of this process's delivery alone
        outcome_metrics = OutcomeMetrics(metrics, directory)
        settlement = Settlement(config.retry_strategy, config.retry.on_uncertain)
        limiter = RateLimiter(tables.rate_use, directory)
        lease = Lease(db, tables.queue, limiter, clock, config.timing.lease_seconds)
        outcome_log = OutcomeLog(directory, enabled=config.log_delivery_activity)
        recorder = OutcomeRecorder(db, tables.queue, limiter, outcome_log, bus)
        pipeline = Pipeline(
            preparing_steps(clock, steps or {}),
            FairSemaphore(config.concurrency.max_concurrent_sends),
            SmtpSender(self._pool),
        )
        courier = Courier(
            SendPermit(lease, directory, clock),
            pipeline,
            settlement,
            recorder,
            AccountHealth(tables, recorder, settlement, outcome_metrics, bus),
            clock,
        )
        lanes = Lanes(courier.carry, settlement, recorder, outcome_metrics, clock, bell)
        self._dispatcher = Dispatcher(
            db, directory, lease, Claimer(tables), lanes, bell, config, clock
        )
        bus.subscribe(OutcomesRecorded, outcome_metrics.outcomes_recorded)
        bus.subscribe(OutcomesRecorded, lambda _: smtp_times.flush())
        bus.subscribe(OutcomesRecorded, lambda _: events_added())
        bus.subscribe(OutcomesRecorded, self._dispatcher.outcomes_recorded)
        bus.subscribe(AccountUsable, lambda _: self._dispatcher.wake())

    @property
    def alive(self) -> bool:
        """Whether the dispatcher runs and may send."""
        return self._dispatcher.alive

    async def start(self) -> None:
        """Begin to deliver. Raises DatabaseUnavailable."""
        await self._dispatcher.start()
        self._reaper.start()

    def messages_added(self, account_pks: Collection[str]) -> None:
        """Look at these accounts now: messages were added for them."""
        self._dispatcher.messages_added(account_pks)

    def wake(self) -> None:
        """Look at all accounts now: messages of any of them may have become due."""
        self._dispatcher.wake()

    def clock_set_back(self) -> None:
        """Discard cached due times after the wall clock was set back."""
        self._dispatcher.clock_set_back()

    async def stop(self) -> None:
        """Finish what is being sent within ``shutdown_timeout`` and give the rest back."""
        await self._dispatcher.stop()
        await self._reaper.stop()
        await self._pool.close_all()

    async def _reap(self) -> None:
        await asyncio.sleep(_REAP_SECONDS)
        await self._pool.reap(self._clock.monotonic())


def connection_pool(
    config: ProxyConfig, clock: Clock, observe: Observe = observe_nothing
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
    return SMTPPool(Connector(timeouts, observe=observe), clock=clock)
