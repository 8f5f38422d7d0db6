"""What an operator does to a running proxy, and what the machine does to it."""

from __future__ import annotations

import json
import resource
import signal
import socket
import time
from collections.abc import Iterator

import pytest
from tests.harness import messages
from tests.harness.errors import NotAvailable
from tests.harness.faulty_path import FaultyPath
from tests.harness.postgres import Postgres
from tests.harness.proxy import ProxyProcess, Response
from tests.harness.rig import Rig, small_rig
from tests.harness.sinks import RecordingSink, wait_for

pytestmark = pytest.mark.slow

SHUTDOWN_SECONDS = 60.0
SETTINGS = {"GMP_SHUTDOWN_TIMEOUT": str(SHUTDOWN_SECONDS), "GMP_RETRY_DELAYS": "0.5,1,2,2,2,900"}
SHORT_LEASE = {**SETTINGS, "GMP_LEASE_SECONDS": "5"}
#: Process start, imports and the like, on a loaded machine.
SLACK_SECONDS = 60.0


@pytest.fixture
def rig() -> Iterator[Rig]:
    with small_rig() as parts:
        yield parts


def post(proxy: ProxyProcess, prefix: str, total: int) -> None:
    for count, body in messages.calls(prefix, total, 500):
        proxy.add_messages(body, count)


def arrived(rig: Rig, proxy: ProxyProcess, sink: RecordingSink, count: int) -> None:
    """Return once so many different messages have arrived."""
    stall = rig.options.stall_seconds
    wait_for(sink.distinct, count, stall_seconds=stall, alive=proxy.check_alive)


def all_sent_once(rig: Rig, proxy: ProxyProcess, sink: RecordingSink, total: int) -> None:
    arrived(rig, proxy, sink, total)
    proxy.wait_until_idle(rig.options.stall_seconds)
    assert len(set(proxy.ids_with_status("sent"))) == total
    assert {i: n for i, n in sink.copies().items() if n > proxy.uncertain_events(i)} == {}


def test_a_clean_stop_finishes_what_is_in_flight_and_hands_back_the_rest(rig: Rig) -> None:
    total = 200
    home = rig.new_directory("home")
    with rig.recording_sink() as sink, FaultyPath(sink.port, 0.15) as path:
        with rig.proxy(home=home, settings=SETTINGS) as proxy:
            proxy.add_account(path.port)
            post(proxy, "slow", total)
            arrived(rig, proxy, sink, 10)
            begun = time.monotonic()
            assert proxy.terminate(SHUTDOWN_SECONDS + SLACK_SECONDS) == 0
            assert time.monotonic() - begun < SHUTDOWN_SECONDS
        first = sink.count()
        assert 10 <= first < total
        path.delay_seconds = 0
        with rig.proxy(home=home, settings=SETTINGS) as proxy:
            all_sent_once(rig, proxy, sink, total)
            assert sink.copies() == {}
            events = proxy.request("GET", f"/messages/{messages.mail_id('slow', 199)}/events")
    assert [e["event_type"] for e in events["events"]] == ["queued", "sent"]


def test_a_server_that_hangs_does_not_hold_up_the_stop(rig: Rig) -> None:
    home = rig.new_directory("home")
    settings = {**SETTINGS, "GMP_SHUTDOWN_TIMEOUT": "1"}
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        with rig.proxy(home=home, settings=settings) as proxy:
            proxy.add_account(hanging.getsockname()[1])
            post(proxy, "held", 5)
            hanging.settimeout(SLACK_SECONDS)
            connection, _ = hanging.accept()
            with connection:
                assert proxy.terminate(1 + SLACK_SECONDS) == 0
    with rig.recording_sink() as sink, rig.proxy(home=home, settings=settings) as proxy:
        proxy.add_account(sink.port)
        all_sent_once(rig, proxy, sink, 5)
        ids = [messages.mail_id("held", number) for number in range(5)]
        assert [proxy.uncertain_events(id_) for id_ in ids] == [0] * 5


@pytest.fixture
def postgres(rig: Rig) -> Postgres:
    try:
        return rig.postgres()
    except NotAvailable as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_the_database_may_be_away_longer_than_the_lease_while_mail_is_being_sent(
    rig: Rig, postgres: Postgres, how: signal.Signals
) -> None:
    total = 100
    with (
        rig.recording_sink() as sink,
        FaultyPath(sink.port, 0.05) as path,
        rig.proxy(database_url=postgres.new_database(), settings=SHORT_LEASE) as proxy,
    ):
        # Two connections: more is claimed than can be sent before the lease ends.
        proxy.add_account(path.port, max_connections=2)
        post(proxy, "outage", total)
        arrived(rig, proxy, sink, 20)
        path.delay_seconds = 1.0  # what is claimed lasts longer than the database takes to end
        postgres.halt(how)
        gone = time.monotonic()
        arrived(rig, proxy, sink, sink.count() + 1)  # what is claimed is still sent
        refused = proxy.try_request(
            "POST", "/commands/add-messages", messages.call("late", 0, 1, 500)
        )
        assert (refused.status, int(refused.retry_after) > 0) == (503, True)
        assert json.loads(refused.body)["ok"] is False
        assert proxy.try_request("GET", "/ready").status == 503
        assert proxy.try_request("GET", "/health").status == 200
        time.sleep(max(0.0, gone + 10 - time.monotonic()))  # an outage has a length, no event
        postgres.resume()
        path.delay_seconds = 0
        all_sent_once(rig, proxy, sink, total)
        wait_for(lambda: proxy.try_request("GET", "/ready").status == 200, 1, stall_seconds=60)
        post(proxy, "after", 1)
        all_sent_once(rig, proxy, sink, total + 1)


def test_a_stop_without_the_database_ends_in_time_and_loses_nothing(
    rig: Rig, postgres: Postgres
) -> None:
    total = 60
    home, url = rig.new_directory("home"), postgres.new_database()
    settings = {**SETTINGS, "GMP_SHUTDOWN_TIMEOUT": "2"}
    with rig.recording_sink() as sink, FaultyPath(sink.port, 0.05) as path:
        with rig.proxy(home=home, database_url=url, settings=settings) as proxy:
            proxy.add_account(path.port)
            post(proxy, "stop", total)
            arrived(rig, proxy, sink, 10)
            postgres.halt()
            assert proxy.terminate(2 + 5 + SLACK_SECONDS) == 0
        postgres.resume()
        with rig.proxy(home=home, database_url=url, settings=settings) as proxy:
            arrived(rig, proxy, sink, total)
            proxy.wait_until_idle(rig.options.stall_seconds)
            assert len(proxy.ids_with_status("sent")) == total


def test_a_full_disk_costs_no_message(rig: Rig) -> None:
    """The limit on file sizes stands for the disk: it can be set and lifted from outside."""
    total = 300
    home = rig.new_directory("home")
    with (
        rig.recording_sink() as sink,
        FaultyPath(sink.port, 0.05) as path,
        rig.proxy(home=home, settings=SETTINGS) as proxy,
    ):
        proxy.add_account(path.port)
        post(proxy, "disk", total)
        arrived(rig, proxy, sink, 20)
        written = max(f.stat().st_size for f in home.rglob("mail_service.db*"))
        none = resource.RLIM_INFINITY
        resource.prlimit(proxy.pid, resource.RLIMIT_FSIZE, (written, none))
        acknowledged = 0
        while (answer := add_one(proxy, acknowledged)).status == 200:
            acknowledged += 1
            assert acknowledged < 1000, "the disk does not get full"
        assert (answer.status, int(answer.retry_after) > 0) == (503, True)
        assert proxy.try_request("GET", "/health").status == 200
        before = sink.count()
        arrived(rig, proxy, sink, before + 5)
        resource.prlimit(proxy.pid, resource.RLIMIT_FSIZE, (none, none))
        all_sent_once(rig, proxy, sink, total + acknowledged)
        assert add_one(proxy, acknowledged).status == 200
        all_sent_once(rig, proxy, sink, total + acknowledged + 1)
        assert sink.copies() == {}


def add_one(proxy: ProxyProcess, number: int) -> Response:
    body = messages.call("more", number, 1, 20_000)
    return proxy.try_request("POST", "/commands/add-messages", body)
