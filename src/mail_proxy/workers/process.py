"""Entry point of a worker process, which delivers messages and does nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time

import uvloop

from mail_proxy.delivery.engine import DeliveryEngine
from mail_proxy.errors import MailProxyError
from mail_proxy.features import registry
from mail_proxy.features.feature import StepParts
from mail_proxy.features.oauth2.tokens import AccessTokens
from mail_proxy.kit.bus import Bus, Reach
from mail_proxy.kit.clock import SystemClock
from mail_proxy.kit.garbage import freeze_loaded_objects
from mail_proxy.kit.process_watch import ProcessWatch
from mail_proxy.kit.runtime import prepare_process
from mail_proxy.network.tls import system_tls_context
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.log import ServiceAction, log
from mail_proxy.telemetry.logging import configure_logging
from mail_proxy.telemetry.metrics import MailMetrics
from mail_proxy.workers.pipe import WorkerConfig, WorkerPipe, WorkerState

_STATE_SECONDS = 0.5


def main() -> None:
    """Deliver until the parent process ends or SIGTERM arrives."""
    # Ctrl-C in a terminal reaches every process; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare_process()
    system_tls_context("smtp")
    system_tls_context("http")
    with socket.socket(fileno=int(sys.argv[1])) as ours:
        sys.exit(uvloop.run(_serve(ours)))


async def _serve(ours: socket.socket) -> int:
    reader, writer = await asyncio.open_connection(sock=ours)
    line = await reader.readline()
    if not line:
        return 0  # the parent has ended already
    worker = WorkerConfig.of(line)
    configure_logging(worker.config.least_level, worker.config.log_format)
    db = SqlDb(worker.config.database_url)
    pipe = WorkerPipe(reader, writer, Reach.PARENT)
    try:
        await _deliver(worker, db, pipe)
    except MailProxyError as error:
        if not worker.quiet:
            log(ServiceAction.WORKER_FAILED, reason=error.message)
        return 1
    finally:
        await db.close()
        pipe.close()
    return 0


async def _deliver(worker: WorkerConfig, db: SqlDb, pipe: WorkerPipe) -> None:
    config = worker.config
    tables = Tables.of(db, worker.key)
    directory = Directory(db, tables, config.concurrency, parts=registry.DIRECTORY)
    await directory.current()
    bus = Bus()
    bus.connect(pipe)
    metrics = MailMetrics.for_a_worker()
    clock = SystemClock()
    parts = StepParts(directory, clock, config, db, tables, metrics)
    tokens = AccessTokens.of(parts)
    engine = DeliveryEngine(
        db,
        tables,
        directory,
        config,
        metrics,
        clock,
        bus,
        steps=registry.delivery_steps(parts),
        tokens=tokens,
    )
    watch = ProcessWatch(db.renew_connections)
    watch.start()
    freeze_loaded_objects()
    await engine.start()
    receiving = asyncio.create_task(_receive(bus, pipe))
    sending_state = asyncio.create_task(_send_state(engine, bus))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, receiving.cancel)
    log(ServiceAction.WORKER_STARTED, pid=os.getpid())
    await asyncio.wait([receiving])
    sending_state.cancel()
    await watch.stop()
    await engine.stop(time.monotonic() + config.timing.shutdown_timeout)
    await tokens.close()
    log(ServiceAction.WORKER_STOPPED, pid=os.getpid())


async def _receive(bus: Bus, pipe: WorkerPipe) -> None:
    while (facts := await pipe.receive()) is not None:
        for fact in facts:
            bus.publish(fact, source=pipe)


async def _send_state(engine: DeliveryEngine, bus: Bus) -> None:
    sent: bool | None = None
    while True:
        if engine.alive is not sent:
            sent = engine.alive
            bus.publish(WorkerState(sent))
        await asyncio.sleep(_STATE_SECONDS)
