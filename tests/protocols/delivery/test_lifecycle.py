"""Stops, restarts, dead and several dispatchers: nothing is lost, nothing is sent twice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest
from tests.harness.patience import PATIENCE_SECONDS, with_growing_patience
from tests.harness.running import KEY, Reports, mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy import MailProxy
from mail_proxy.errors import ConfigError, EncryptionError
from mail_proxy.kit.ids import uuid7
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.tables import Tables
from mail_proxy.testing.clock import FakeClock
from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer


def copies(server: ScriptedSmtpServer) -> Counter[str]:
    """How often each id was accepted."""
    heads = [accepted.data.partition(b"X-Genro-Mail-ID: ")[2] for accepted in server.accepted]
    return Counter(head.partition(b"\r\n")[0].decode() for head in heads)


async def test_a_clean_stop_finishes_what_is_in_flight_and_hands_back_the_rest(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    ids = [f"m{i}" for i in range(300)]
    reports = Reports()
    async with running(config(), reports=reports) as post:
        await post.account(server, max_connections=3)
        await post.add(*(mail(i) for i in ids))
        await server.received(20)
    at_stop = len(server.accepted)
    assert 20 <= at_stop < 300
    async with running(config(), reports=reports) as post:
        await reports.sent(*ids)
    assert copies(server) == dict.fromkeys(ids, 1)
    assert Counter(e["id"] for e in reports.entries) == dict.fromkeys(ids, 1)


async def test_what_was_handed_in_while_delivery_is_off_is_sent_after_a_restart(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with running(config(scheduler_active=False)) as post:
        await post.account(server)
        await post.add(mail("m1"), mail("m2"))
    async with running(config()) as post:
        await post.reports.sent("m1", "m2")
    assert copies(server) == {"m1": 1, "m2": 1}


async def test_a_stop_does_not_wait_longer_than_shutdown_timeout_for_a_dead_server(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on("end of data", Act.SILENCE, times=1)
    async with running(config(timing={"shutdown_timeout": 0.2})) as post:
        await post.account(server)
        await post.add(mail())
        await server.wait_until(lambda: (1, "DATA") in server.commands)
        started = time.monotonic()
    assert time.monotonic() - started < PATIENCE_SECONDS  # the send_timeout is 300 s
    async with running(config(scheduler_active=False)) as post:
        # Nobody knows whether the server took it, and that is said.
        (_, deferred) = await post.events("m1")
        assert deferred.event_data["uncertain"] is True
        assert "uncertain" in deferred.event_data["deferred_reason"]
        assert (await post.message("m1")).status == "deferred"


async def test_two_proxies_on_one_database_send_every_message_once(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    ids = [f"m{i}" for i in range(400)]
    reports = Reports()
    async with (
        running(config(), reports=reports) as one,
        running(config(timing={"send_loop_interval": 0.05}), reports=reports) as two,
    ):
        await one.account(server, max_connections=2)
        half = [mail(i) for i in ids[::2]], [mail(i) for i in ids[1::2]]
        await asyncio.gather(one.add(*half[0]), two.add(*half[1]))
        await reports.sent(*ids)
    assert copies(server) == dict.fromkeys(ids, 1)
    assert Counter(e["id"] for e in reports.entries) == dict.fromkeys(ids, 1)


async def test_an_account_saved_by_another_process_is_used_from_the_next_message_on(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with (
        ScriptedSmtpServer() as moved,
        running(config()) as sending,
        running(config(scheduler_active=False)) as other,
    ):
        await other.account(server)
        await sending.add(mail("m1"))
        await sending.reports.sent("m1")
        await other.account(moved)
        assert (await sending.message("m1")).status == "sent"  # a call that sees the change
        await sending.add(mail("m2"))
        await sending.reports.sent("m2")
        assert copies(moved) == {"m2": 1}
    assert copies(server) == {"m1": 1}


async def test_what_a_dead_dispatcher_held_is_sent_by_another_once_its_lease_has_ended(
    config: Settings, server: ScriptedSmtpServer, database_url: str
) -> None:
    async def attempt(seconds: float) -> None:
        server.accepted.clear()
        held, free = f"held-{seconds:g}", f"free-{seconds:g}"
        async with running(config(scheduler_active=False)) as post:
            await post.account(server)
            await post.add(mail(held), mail(free))
        await claimed_by_another_host(database_url, held, lease_until=time.time() + seconds)
        async with running(config(timing={"lease_seconds": 5})) as post:
            await post.reports.sent(free)
            assert (await post.message(held)).status == "sending"
            assert copies(server) == {free: 1}
            await post.reports.sent(held)
        assert copies(server) == {free: 1, held: 1}

    await with_growing_patience(attempt, (1.5, 6.0, 30.0))


async def test_a_living_dispatcher_on_another_host_keeps_what_it_has_claimed(
    config: Settings, server: ScriptedSmtpServer, database_url: str
) -> None:
    async with running(config(scheduler_active=False)) as post:
        await post.account(server)
        await post.add(mail("held"))
    await claimed_by_another_host(database_url, "held", lease_until=time.time() + 600)
    async with running(config()) as post:
        await post.add(mail("free"))
        await post.reports.sent("free")
        assert (await post.add(mail("other"), mail("held"))).duplicates[0].status == "sending"
        assert (await post.delete("held")).in_progress == ["held"]
    assert "held" not in copies(server)


async def test_what_was_claimed_when_the_lease_lapsed_is_sent_once_it_is_back(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on("end of data", Act.SILENCE, times=1)
    clock = FakeClock()
    ids = [f"m{i}" for i in range(15)]
    async with running(config(timing={"lease_seconds": 5}), clock=clock) as post:
        await post.account(server, max_connections=1)
        await post.add(*(mail(i) for i in ids))
        await server.wait_until(lambda: (1, "DATA") in server.commands)
        clock.advance(4.5)  # longer than the lease is trusted, shorter than it lasts
        await post.reports.sent(*ids[1:])
    assert all(copies(server)[i] == 1 for i in ids[1:])


async def test_the_lease_is_kept_while_a_clean_stop_waits_for_the_server(
    config: Settings, server: ScriptedSmtpServer, database_url: str
) -> None:
    server.on("end of data", Act.SILENCE, times=1)
    clock = FakeClock()
    short = {"lease_seconds": 5, "shutdown_timeout": 60}
    async with running(config(timing=short), clock=clock) as post:
        await post.account(server)
        await post.add(mail())
        await server.wait_until(lambda: (1, "DATA") in server.commands)
        stop = asyncio.create_task(post.proxy.stop())
        # Either of the two may tell it.
        async with running(config(timing=short), clock=clock, reports=post.reports) as other:
            for _ in range(2):
                clock.advance(3)
                await leases_renewed(database_url, clock)
            await server.drop_connections()
            await stop
            await other.reports.wait_for("deferred", "m1")
            assert [e.event_type for e in await other.events("m1")] == ["queued", "deferred"]
    assert server.connections == 1


async def test_a_proxy_with_another_key_does_not_start_and_says_why(
    config: Settings, server: ScriptedSmtpServer, tmp_path: Any
) -> None:
    async with running(config()) as post:
        await post.account(server, user="ann", password="secret")
    (tmp_path / "other").write_bytes(b"x" * 32)
    with pytest.raises(EncryptionError, match="key is not the one"):
        await MailProxy.create(config(key_file=tmp_path / "other"))


async def test_a_database_in_a_folder_that_does_not_exist_is_a_configuration_error(
    config: Settings, tmp_path: Any
) -> None:
    missing = str(tmp_path / "missing" / "mail.db")
    with pytest.raises(ConfigError, match="folder does not exist"):
        await MailProxy.create(config(db_path=missing))


async def leases_renewed(url: str, clock: FakeClock) -> None:
    """Once both dispatchers have told the database that they live now."""
    db = SqlDb(url)

    def work(connection: Connection) -> list[float]:
        return list(connection.exec_driver_sql("SELECT lease_until FROM dispatcher").scalars())

    async with asyncio.timeout(PATIENCE_SECONDS):
        while min(await db.read(work)) < clock.now() + 5:
            await asyncio.sleep(0.05)
    await db.close()


async def claimed_by_another_host(url: str, id_: str, lease_until: float) -> None:
    """As a dispatcher leaves it that died between claim and outcome."""
    db = SqlDb(url)
    tables = Tables.of(db, KEY)

    def work(connection: Connection) -> None:
        other = uuid7()
        tables.queue.register(connection, other, "elsewhere", 1, time.time(), lease_until)
        accounts = tables.queue.waiting_accounts(connection)
        due = tables.queue.due(connection, accounts, 2, time.time(), 10)
        tables.queue.claim(connection, other, [m for m in due if m.id == id_])

    await db.write(work)
    await db.close()
