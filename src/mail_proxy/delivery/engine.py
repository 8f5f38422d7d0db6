"""Everything that delivers in one process."""

from __future__ import annotations

import asyncio

from mail_proxy.config import ProxyConfig
from mail_proxy.delivery.dispatcher import Dispatcher
from mail_proxy.delivery.outcome_metrics import OutcomeMetrics
from mail_proxy.delivery.pipeline import Pipeline
from mail_proxy.domain.facts import (
    ClockSetBack,
    DirectoryChanged,
    EventsAdded,
    MessagesAdded,
    MessagesDue,
    MessagesReleased,
    RunNow,
)
from mail_proxy.kit.bus import Bus
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.worker import Worker
from mail_proxy.smtp.connection import Connector
from mail_proxy.smtp.pool import SMTPPool
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.smtp.transaction import Observe, Timeouts, observe_nothing
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.metrics import MailMetrics, SmtpTimes

_REAP_SECONDS = 10.0


class DeliveryEngine:
    """Service that delivers in this process: a dispatcher with the connections that it uses."""

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
    ) -> None:
        self._clock = clock
        self._bus = bus
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
        self._subscribe(test_mode=config.test_mode)

    @property
    def alive(self) -> bool:
        """Whether it runs and may send."""
        return self._dispatcher.alive

    async def start(self) -> None:
        """Begin to deliver. Raises DatabaseUnavailable."""
        await self._dispatcher.start()
        self._reaper.start()

    async def stop(self, deadline: float) -> None:
        """Finish what is in flight by ``deadline``, hand back the rest."""
        await self._dispatcher.stop(deadline)
        await self._reaper.stop()
        await self._pool.close_all()

    def _subscribe(self, *, test_mode: bool) -> None:
        """In test mode only ``RunNow`` starts a round."""
        dispatcher = self._dispatcher
        self._bus.subscribe(RunNow, lambda _: dispatcher.wake())
        self._bus.subscribe(ClockSetBack, lambda _: dispatcher.clock_set_back())
        if test_mode:
            return
        self._bus.subscribe(
            MessagesAdded, lambda added: dispatcher.messages_added(added.account_pks)
        )
        for kind in (MessagesDue, MessagesReleased, DirectoryChanged):
            self._bus.subscribe(kind, lambda _: dispatcher.wake())

    def _outcomes_written(self) -> None:
        self._smtp_times.flush()
        self._bus.publish(EventsAdded())

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
