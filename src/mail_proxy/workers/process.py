"""A process that delivers and does nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

import uvloop

from mail_proxy.delivery.engine import DeliveryEngine
from mail_proxy.errors import MailProxyError
from mail_proxy.kit.clock import SystemClock
from mail_proxy.kit.runtime import prepare_process
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.log import Action, log
from mail_proxy.telemetry.logging import configure_logging
from mail_proxy.telemetry.metrics import MailMetrics
from mail_proxy.workers.pipe import (
    CLOCK_SET_BACK,
    DELIVERS,
    EVENTS_ADDED,
    STANDS_STILL,
    WAKE,
    WorkerConfig,
    next_messages,
)

_LOOK_SECONDS = 0.5


def main() -> None:
    """Deliver until the parent goes, or a signal comes."""
    # Ctrl-C in a terminal reaches every process; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare_process()
    with socket.socket(fileno=int(sys.argv[1])) as link:
        sys.exit(uvloop.run(_serve(link)))


async def _serve(link: socket.socket) -> int:
    reader, writer = await asyncio.open_connection(sock=link)
    line = await reader.readline()
    if not line:
        return 0  # the parent has gone already
    orders = WorkerConfig.of(line)
    configure_logging(orders.config.least_level, orders.config.log_format)
    db = SqlDb(orders.config.database_url)
    try:
        await _deliver(orders, db, reader, writer)
    except MailProxyError as error:
        log(Action.WORKER_FAILED, reason=error.message)
        return 1
    finally:
        await db.close()
        writer.close()
    return 0


async def _deliver(
    orders: WorkerConfig, db: SqlDb, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    tables = Tables.of(db, orders.key)
    directory = Directory(db, tables, orders.config.concurrency)
    await directory.current()
    engine = DeliveryEngine(
        db,
        tables,
        directory,
        orders.config,
        MailMetrics.for_a_worker(),
        SystemClock(),
        lambda: writer.write(EVENTS_ADDED),
    )
    await engine.start()
    listening = asyncio.create_task(_obey(engine, reader))
    telling = asyncio.create_task(_tell(engine, writer))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, listening.cancel)
    log(Action.WORKER_STARTED, pid=os.getpid())
    await asyncio.wait([listening])
    telling.cancel()
    await engine.stop()
    log(Action.WORKER_STOPPED, pid=os.getpid())


async def _obey(engine: DeliveryEngine, reader: asyncio.StreamReader) -> None:
    while messages := await next_messages(reader):
        if CLOCK_SET_BACK in messages:
            engine.clock_set_back()
        if WAKE in messages:
            engine.wake()


async def _tell(engine: DeliveryEngine, writer: asyncio.StreamWriter) -> None:
    told: bool | None = None
    while True:
        if engine.alive is not told:
            told = engine.alive
            writer.write(DELIVERS if told else STANDS_STILL)
        await asyncio.sleep(_LOOK_SECONDS)
