"""A proxy that is killed between an application's answer to its reports and its own commit."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.harness import messages
from tests.harness.errors import NotAvailable
from tests.harness.proxy import ProxyProcess
from tests.harness.rig import small_rig
from tests.harness.scrape import Scrape

from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint

pytestmark = pytest.mark.slow

_KILLS = 3
_SECRET = "whsec_" + "YmVuY2htYXJrIGJlbmNobWFyayBiZW5jaG1hcms="
#: Reports that a killed proxy has claimed must not wait until its lease ends.
_SETTINGS = {"GMP_LEASE_SECONDS": "300"}
_PATIENCE_SECONDS = 60.0


@pytest.fixture
async def application() -> AsyncIterator[SyncEndpoint]:
    async with SyncEndpoint() as endpoint:
        yield endpoint


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_every_report_is_made_again_under_the_same_id_and_acknowledged_in_the_end(
    database: Literal["sqlite", "postgresql"], application: SyncEndpoint
) -> None:
    with small_rig(database=database) as rig:
        try:
            url, home = rig.new_database(), rig.new_directory("home")
        except NotAvailable as missing:
            pytest.skip(str(missing))
        with (
            rig.recording_sink() as sink,
            rig.proxy(home=home, database_url=url, settings=_SETTINGS) as proxy,
            database_connection(url, home) as execute,
        ):
            proxy.add_account(sink.port)
            tenant = {"client_base_url": application.url, "signing_secret": _SECRET}
            proxy.request("PUT", "/tenant/default", json.dumps(tenant).encode())
            for number in range(_KILLS):
                await kill_before_the_commit(proxy, application, execute, number)
                mail_id = messages.mail_id("told", number)
                await until(lambda id_=mail_id: len(report_ids(application, id_)) > 1)
                await until(lambda id_=mail_id: is_acknowledged(proxy, id_))
                assert len(set(report_ids(application, mail_id))) == 1


async def kill_before_the_commit(
    proxy: ProxyProcess, application: SyncEndpoint, execute: Callable[[str], Any], number: int
) -> None:
    """Restart the proxy after it has the answer, which a locked table keeps it from recording."""
    may_answer = asyncio.Event()
    application.default = Reply({"ok": True}, after=may_answer)
    proxy.add_messages(messages.call("told", number, 1, 500), 1)
    await application.wait_for_report(messages.mail_id("told", number), _PATIENCE_SECONDS)
    lock(execute)
    before = answered_calls(proxy)
    may_answer.set()
    await until(lambda: answered_calls(proxy) > before)
    proxy.kill()
    application.default = Reply({"ok": True})
    execute("ROLLBACK")
    proxy.start()


@contextlib.contextmanager
def database_connection(url: str | None, home: Path) -> Iterator[Callable[[str], Any]]:
    if url is None:
        (file,) = home.rglob("*.db")
        with contextlib.closing(sqlite3.connect(file, 30, isolation_level=None)) as lite:
            yield lite.execute
        return
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        yield connection.execute


def lock(execute: Callable[[str], Any]) -> None:
    """Keep events from being acknowledged until ``ROLLBACK``."""
    if isinstance(getattr(execute, "__self__", None), sqlite3.Connection):
        execute("BEGIN IMMEDIATE")
    else:
        execute("BEGIN")
        execute("LOCK TABLE message_event IN SHARE MODE")


def answered_calls(proxy: ProxyProcess) -> float:
    """Return how often an application has answered this process, recorded or not."""
    scrape = Scrape(proxy.try_request("GET", "/metrics").body.decode())
    name = "gmp_sync_calls_total"
    return scrape(name) if scrape.has(name) else 0


def report_ids(application: SyncEndpoint, mail_id: str) -> list[str]:
    """Return the webhook-id of each call that reported this message."""
    return [call.headers["webhook-id"] for call in application.calls if mail_id in call.ids]


def is_acknowledged(proxy: ProxyProcess, mail_id: str) -> bool:
    events = proxy.request("GET", f"/messages/{mail_id}/events")["events"]
    reported = [event["reported_ts"] for event in events if event["event_type"] != "queued"]
    return bool(reported) and all(reported)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.02)
