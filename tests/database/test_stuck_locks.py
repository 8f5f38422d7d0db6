"""A process or session that holds a lock for ever: no call waits without end"""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
from tests.database.test_group_commit import insert, names

from mail_proxy.errors import DatabaseLocked, DatabaseUnavailable
from mail_proxy.sql import Connection, SqlDb

#: Long enough that a busy machine is faster than half of it.
_PATIENCE_SECONDS = 2.0
#: Writes the row "held", keeps the transaction and its turn, and says so.
_HOLDER = """
import sys
from mail_proxy.sql import SqlDb

def hold(connection):
    connection.exec_driver_sql(
        "INSERT INTO tenant (id, name, created_at, updated_at) VALUES ('held', 'n', 0, 0)")
    print("held", flush=True)
    sys.stdin.read()

SqlDb(sys.argv[1]).write_now(hold)
"""
_TURN_HOLDER = """
import fcntl, sys

with open(sys.argv[1], "a") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
async def impatient(database_url: str) -> AsyncIterator[SqlDb]:
    db = SqlDb(database_url, lock_seconds=_PATIENCE_SECONDS)
    yield db
    await db.close()


@contextmanager
def stopped(script: str, argument: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is stopped once it has written a line; it is killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", script, argument],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.send_signal(signal.SIGSTOP)
            yield process
        finally:
            process.kill()


@pytest.fixture
def holder(database_url: str) -> Iterator[subprocess.Popen[str]]:
    """A stopped process in the middle of a transaction that holds a lock on ``tenant``."""
    lock = "" if database_url.startswith("sqlite") else 'connection.exec_driver_sql("LOCK tenant")'
    script = _HOLDER.replace("def hold(connection):", f"def hold(connection):\n    {lock}")
    with stopped(script, database_url) as process:
        yield process


@pytest.fixture
def turn_holder(database_url: str) -> Iterator[subprocess.Popen[str]]:
    """A stopped process that has the turn to write, and no transaction."""
    with stopped(_TURN_HOLDER, f"{database_url.removeprefix('sqlite:///')}-turn") as process:
        yield process


async def test_every_write_behind_a_stopped_holder_ends_with_its_reason(
    impatient: SqlDb, holder: subprocess.Popen[str]
) -> None:
    begun = time.monotonic()
    async with asyncio.timeout(20):
        ended = await asyncio.gather(
            *(impatient.write(insert, f"t{n}") for n in range(40)), return_exceptions=True
        )
    assert all(isinstance(each, DatabaseUnavailable) for each in ended), ended
    # Some wait for the lock, the others for those: not each for all before it.
    assert time.monotonic() - begun < 40 * _PATIENCE_SECONDS / 2
    assert impatient.availability.reason == DatabaseLocked.summary


async def test_a_check_notices_the_lock_without_a_call_that_failed(
    impatient: SqlDb, holder: subprocess.Popen[str]
) -> None:
    """As `/ready` of an instance that has nothing to write. Then it is answered from memory."""
    async with asyncio.timeout(20):
        with pytest.raises(DatabaseLocked):
            await impatient.check()
    begun = time.monotonic()
    with pytest.raises(DatabaseLocked):
        await impatient.check()
    assert time.monotonic() - begun < _PATIENCE_SECONDS / 2


async def test_a_check_of_a_database_that_works_writes_once_for_all_callers(
    impatient: SqlDb, caplog: pytest.LogCaptureFixture
) -> None:
    if impatient.adapter.name == "sqlite":
        before = await impatient.read(_proofs)
    with caplog.at_level(logging.INFO, "sqlalchemy.engine"):
        await asyncio.gather(*(impatient.check() for _ in range(50)))
        await impatient.check()
    if impatient.adapter.name == "sqlite":
        assert await impatient.read(_proofs) == before + 1
    else:
        assert sum(record.getMessage() == "COMMIT" for record in caplog.records) == 1


def _proofs(connection: Connection) -> int:
    """Return a number that grows with each proof that SQLite can be written."""
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


@pytest.mark.parametrize("ending", [signal.SIGCONT, signal.SIGKILL])
async def test_writes_go_on_once_the_holder_continues_or_dies(
    impatient: SqlDb, holder: subprocess.Popen[str], ending: signal.Signals
) -> None:
    with pytest.raises(DatabaseLocked):
        await impatient.write(insert, "before")
    holder.send_signal(ending)
    if ending == signal.SIGCONT:
        assert holder.stdin is not None
        holder.stdin.close()
    assert holder.wait(20) == (0 if ending == signal.SIGCONT else -ending)
    assert await impatient.write(insert, "after") == "after"
    held = {"held"} if ending == signal.SIGCONT else set()
    assert await names(impatient) == {"after"} | held


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_holder_of_the_turn_alone_delays_one_write(
    impatient: SqlDb, turn_holder: subprocess.Popen[str]
) -> None:
    """The turn is for fairness only, so writes go on without it."""
    async with asyncio.timeout(20):
        assert await impatient.write(insert, "first") == "first"
        begun = time.monotonic()
        assert await impatient.write(insert, "second") == "second"
        assert time.monotonic() - begun < _PATIENCE_SECONDS / 2
    turn_holder.kill()
    assert await impatient.write(insert, "third") == "third"
