"""What one tenant has to do with the mail of another: nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.harness import messages
from tests.harness.proxy import ProxyProcess
from tests.harness.rig import Rig, small_rig
from tests.harness.sinks import RecordingSink, wait_for

pytestmark = pytest.mark.slow

#: A loaded machine's, for a mail that takes milliseconds; what hangs does so for a minute.
PROMPT_SECONDS = 40.0


@pytest.fixture
def rig() -> Iterator[Rig]:
    with small_rig(size_bytes=500) as parts:
        yield parts


def add_tenant(proxy: ProxyProcess, tenant: str, port: int) -> None:
    proxy.add_tenant(tenant)
    proxy.add_account(port, tenant_id=tenant)


def arrived(proxy: ProxyProcess, sink: RecordingSink, count: int) -> None:
    wait_for(sink.distinct, count, stall_seconds=PROMPT_SECONDS, alive=proxy.check_alive)


@pytest.mark.parametrize("silence", ["greeting", "DATA"])
def test_the_mail_of_a_tenant_goes_out_while_the_servers_of_others_hang(
    rig: Rig, silence: str
) -> None:
    # As many accounts as connections: one that has never logged in opens one session first.
    accounts = connections = 12
    total = 300
    settings = {"GMP_MAX_CONCURRENT_SENDS": str(connections), "GMP_SHUTDOWN_TIMEOUT": "0"}
    with (
        rig.recording_sink() as sink,
        rig.recording_sink(silence) as silent,
        rig.fresh_proxy(settings=settings) as proxy,
    ):
        add_tenant(proxy, "works", sink.port)
        for number in range(accounts):
            add_tenant(proxy, f"hangs{number}", silent.port)
            rig.queue(proxy, "hangs", connections, tenant_id=f"hangs{number}")
        wait_for(silent.connections, connections, stall_seconds=PROMPT_SECONDS)
        rig.queue(proxy, "works", total, tenant_id="works")
        arrived(proxy, sink, total)
        assert (sink.copies(), silent.count()) == ({}, 0)


def test_a_single_mail_does_not_wait_for_the_newsletter_of_another_tenant(rig: Rig) -> None:
    newsletter = 5000
    with (
        rig.recording_sink() as single,
        rig.recording_sink() as bulk,
        rig.fresh_proxy(settings={"GMP_SHUTDOWN_TIMEOUT": "0"}) as proxy,
    ):
        add_tenant(proxy, "single", single.port)
        add_tenant(proxy, "bulk", bulk.port)
        proxy.suspend("bulk")
        rig.queue(proxy, "bulk", newsletter, tenant_id="bulk", priority="low")
        proxy.activate("bulk")
        arrived(proxy, bulk, 100)
        bodies = [
            messages.call("single", number, 1, 500, tenant_id="single", priority="low")
            for number in range(3)
        ]
        for number, body in enumerate(bodies):
            proxy.add_messages(body, 1)
            arrived(proxy, single, number + 1)
        arrived(proxy, bulk, newsletter)
        last_single = max(single.moments())
        later = [moment for moment in bulk.moments() if moment > last_single]
        assert later
