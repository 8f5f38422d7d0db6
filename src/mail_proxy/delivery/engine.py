"""Everything that delivers in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from mail_proxy.config import ProxyConfig
from mail_proxy.delivery.dispatcher import Dispatcher
from mail_proxy.delivery.outcome_metrics import OutcomeMetrics
from mail_proxy.delivery.pipeline import Pipeline
from mail_proxy.kit.clock import Clock
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
    """A dispatcher with the connections that it uses."""

    def __init__(
        self,
        db: SqlDb,
        tables: Tables,
        directory: Directory,
        config: ProxyConfig,
        metrics: MailMetrics,
        clock: Clock,
        events_added: Callable[[], None],
    ) -> None:
        """``events_added`` is called after each commit of outcomes."""
        self._clock = clock
        self._events_added = events_added
        self._smtp_times = SmtpTimes(metrics)
        self._pool = connection_pool(config, clock, self._smtp_times.add)
        pipeline = Pipeline(SmtpSender(self._pool), clock)
        self._dispatcher = Dispatcher(
            db,
            tables,
            directory,
            pipeline,
            config,
            OutcomeMetrics(metrics, directory),
            clock,
            self._outcomes_written,
        )
        self._reaper = Worker("smtp.reaper", self._reap)

    @property
    def alive(self) -> bool:
        """Whether it runs and may send."""
        return self._dispatcher.alive

    async def start(self) -> None:
        """Begin to deliver. Raises DatabaseUnavailable."""
        await self._dispatcher.start()
        self._reaper.start()

    def messages_added(self, account_pks: Collection[str]) -> None:
        """These accounts have got messages."""
        self._dispatcher.messages_added(account_pks)

    def wake(self) -> None:
        """There may be something due now."""
        self._dispatcher.wake()

    def clock_set_back(self) -> None:
        """What is known of times to come holds no longer."""
        self._dispatcher.clock_set_back()

    async def stop(self) -> None:
        """Finish what is in flight within ``shutdown_timeout``, hand back the rest."""
        await self._dispatcher.stop()
        await self._reaper.stop()
        await self._pool.close_all()

    def _outcomes_written(self) -> None:
        self._smtp_times.flush()
        self._events_added()

    async def _reap(self) -> None:
        await asyncio.sleep(_REAP_SECONDS)
        await self._pool.reap(self._clock.monotonic())


def connection_pool(
    config: ProxyConfig, clock: Clock, observe: Observe = observe_nothing
) -> SMTPPool:
    """A pool with the timeouts of the settings; nothing is opened yet."""
    longest = config.timing.send_timeout
    usual = Timeouts()
    timeouts = Timeouts(
        open=min(usual.open, longest),
        command=min(usual.command, longest),
        end_of_data=longest,
        send=longest,
    )
    return SMTPPool(Connector(timeouts, observe=observe), clock=clock)
