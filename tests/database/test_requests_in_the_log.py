"""What a transaction logs names the request that waits for it, on whichever thread it runs"""

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.harness.log_lines import lines

from mail_proxy.sql import Connection, SqlDb
from mail_proxy.telemetry.log import ServiceAction, begin_request, log


async def test_each_transaction_logs_under_its_own_request(
    db: SqlDb, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()

    def work(connection: Connection, rows: int) -> None:
        gate.wait(10)
        log(ServiceAction.CLOCK_MENDED, rows=rows)

    async def handle(number: int) -> None:
        begin_request(f"r{number}")
        await (db.write if number % 2 else db.read)(work, number)

    # The writing ones share a commit where they may.
    tasks = [asyncio.create_task(handle(number)) for number in range(6)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    await db.write(work, 6)
    found = sorted(lines(caplog, "clock.mended"), key=lambda line: line["rows"])
    assert found[:-1] == [{"request_id": f"r{n}", "rows": n} for n in range(6)]
    assert found[-1] == {"rows": 6}
