"""Trouble with an account is the account's, not the message's."""

from __future__ import annotations

import asyncio
import time

from tests.harness.running import Post, eventually, mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.sql import SqlDb
from mail_proxy.sql.tables import Tables
from mail_proxy.testing.clock import JumpingClock
from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer

USERS = {"ann": "right"}
LOGIN = {"user": "ann", "password": "right"}


async def test_an_account_that_refuses_connections_waits_while_another_goes_on(
    config: Settings, server: ScriptedSmtpServer, unused_port: int
) -> None:
    async with running(config()) as post:
        await post.account(unused_port, "bad")
        await post.account(server, "good")
        await post.add(mail("b1", account_id="bad"), mail("b2", account_id="bad"))
        (first, second) = await post.reports.wait_for("deferred", "b1", "b2")
        assert "Connect call failed" in first["deferred_reason"]
        assert first["retry_ts"] - first["deferred_ts"] > 20
        assert "Connect call failed" in second["deferred_reason"]
        await post.add(*(mail(f"g{i}", account_id="good") for i in range(5)))
        await post.reports.sent(*(f"g{i}" for i in range(5)))
        metrics = (await post.proxy.monitoring.text()).decode()
        assert 'gmp_account_up{account_id="bad",tenant_id="default"} 0.0' in metrics
        assert 'gmp_account_up{account_id="good",tenant_id="default"} 1.0' in metrics
        shown = await post.message("b1")
        assert (shown.status, shown.retry_count) == ("deferred", 0)
        assert shown.error is not None


async def test_saving_the_account_sends_what_waited_for_it_at_once(
    config: Settings, server: ScriptedSmtpServer, unused_port: int
) -> None:
    async with running(config()) as post:
        await post.account(unused_port)
        await post.add(mail("m1"), mail("m2"))
        await post.reports.wait_for("deferred", "m1", "m2")
        await post.add(mail("m3"))
        await post.account(server)
        await post.reports.sent("m1", "m2", "m3")


async def test_saving_the_account_leaves_retries_of_the_messages_own_and_schedules_alone(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on_recipient("busy@x.example", "450 4.2.1 busy", times=1)
    async with running(config()) as post:
        await post.account(server)
        await post.add(mail("retry", to="busy@x.example"))
        await post.add(mail("later", deferred_ts=time.time() + 3600))
        (deferred,) = await post.reports.wait_for("deferred", "retry")
        await post.account(server)
        await post.add(mail("m3"))
        await post.reports.sent("m3")
        assert (await post.message("retry")).deferred_ts == deferred["retry_ts"]
        assert (await post.message("later")).status == "pending"


async def test_a_wrong_password_defers_and_the_right_one_delivers(config: Settings) -> None:
    async with ScriptedSmtpServer(users=USERS) as server, running(config()) as post:
        await post.account(server, **{**LOGIN, "password": "wr0ng-secret"})
        await post.add(mail())
        (deferred,) = await post.reports.wait_for("deferred", "m1")
        assert "535" in deferred["deferred_reason"]
        assert "wr0ng-secret" not in str(await post.events("m1"))
        await post.account(server, **LOGIN)
        await post.reports.sent("m1")


async def test_only_one_message_probes_an_account_that_is_in_trouble(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on("connect", "421 4.3.2 too many connections")
    clock = JumpingClock()
    async with running(config(), clock=clock) as post:
        await post.account(server, max_connections=1)
        await post.add(*(mail(f"m{i}") for i in range(20)))
        ids = [f"m{i}" for i in range(20)]
        await post.reports.wait_for("deferred", *ids)
        before = server.connections
        clock.jump(34)
        await post.run_now()
        await eventually(lambda: len(post.reports.entries) == 21)
        assert server.connections == before + 1
        await post.run_now()  # ends the pause at once, for one message
        await eventually(lambda: len(post.reports.entries) == 22)
        assert (await post.message("m19")).status in ("deferred", "pending")
        assert server.connections == before + 2
        server.forget_script()
        clock.jump(67)
        await post.run_now()
        await post.reports.sent(*ids)


async def test_a_message_that_waited_too_long_for_its_account_is_given_up(
    config: Settings, unused_port: int
) -> None:
    clock = JumpingClock()
    async with running(config(retry={"account_trouble_max_wait": 90}), clock=clock) as post:
        await post.account(unused_port)
        await post.add(mail())
        await post.reports.wait_for("deferred", "m1")
        clock.jump(100)
        await post.run_now()
        assert "Connect call failed" in await post.reports.error("m1")


async def test_a_message_scheduled_long_ago_still_waits_for_an_account_in_trouble(
    config: Settings, server: ScriptedSmtpServer, unused_port: int
) -> None:
    clock = JumpingClock()
    async with running(config(), clock=clock) as post:
        await post.account(unused_port)
        await post.add(mail(deferred_ts=clock.now() + 7 * 86_400))
        clock.jump(7 * 86_400)
        await post.run_now()
        await post.reports.wait_for("deferred", "m1")
        await post.account(server)
        await post.reports.sent("m1")


async def test_removing_an_account_ends_what_waits_for_it_in_error_and_tells(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on_recipient("busy@x.example", "450 4.2.1 busy")
    async with running(config()) as post:
        await post.account(server)
        await post.add(mail("retry", to="busy@x.example"))
        await post.add(mail("later", deferred_ts=time.time() + 3600))
        await post.reports.wait_for("deferred", "retry")
        await post.remove_account()
        assert await post.reports.error("retry") == "account deleted"
        assert await post.reports.error("later") == "account deleted"
        answer = await refused(post, mail("more"))
        assert "no default account" in answer


async def test_removing_an_account_ends_what_was_claimed_for_it_but_not_begun(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on("end of data", Act.SILENCE, times=1)
    async with running(config()) as post:
        await post.account(server, max_connections=1)
        ids = [f"m{i}" for i in range(15)]
        await post.add(*(mail(i) for i in ids))
        await server.wait_until(lambda: (1, "DATA") in server.commands)
        await post.remove_account()
        await post.proxy.follow_settings()
        await server.drop_connections()
        for id_ in ids[1:]:
            assert await post.reports.error(id_) == "account deleted"
    assert server.accepted == []


async def test_an_inactive_tenant_sends_nothing_and_goes_on_when_it_is_active_again(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on("end of data", Act.SILENCE, times=1)
    async with running(config()) as post:
        await post.tenant("acme")
        await post.account(server, tenant_id="acme", max_connections=1)
        ids = [f"m{i}" for i in range(15)]
        await post.add(*(mail(i, tenant_id="acme") for i in ids))
        await server.wait_until(lambda: (1, "DATA") in server.commands)
        await post.tenant("acme", active=False)
        await post.account(server, "probe", tenant_id="default")
        await post.add(mail("probe", tenant_id="default"))
        await post.reports.sent("probe")
        await server.drop_connections()
        await post.reports.wait_for("deferred", "m0")
        assert len(server.accepted) == 1
        await post.tenant("acme", active=True)
        await post.reports.sent(*ids[1:])


async def test_accounts_do_not_share_connections_even_to_the_same_server(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with running(config()) as post:
        await post.account(server, "one")
        await post.account(server, "two")
        for number, account in enumerate(["one", "two", "one", "two"]):
            await post.add(mail(f"m{number}", account_id=account))
            await post.reports.sent(f"m{number}")
    sessions = [accepted.session for accepted in server.accepted]
    assert sessions == [1, 2, 1, 2]


async def test_large_messages_of_an_account_in_trouble_use_up_no_room_for_good(
    config: Settings, server: ScriptedSmtpServer, unused_port: int
) -> None:
    ids = [f"m{i}" for i in range(20)]
    async with running(config()) as post:
        await post.account(unused_port, max_connections=1)
        await post.add(*(mail(i, body="x" * 500_000) for i in ids))
        for times in range(1, 9):  # 80 MB go through memory
            await post.reports.wait_for("deferred", "m0", times=times)
            await post.account(unused_port, max_connections=1)
        await post.account(server)
        await post.reports.sent(*ids)


async def test_damaged_messages_are_given_up_and_use_up_no_room_for_good(
    config: Settings, server: ScriptedSmtpServer, database_url: str
) -> None:
    many = {"retry_delays": "0.01", "max_retries": 30}
    async with running(config(retry=many, test_mode=True)) as post:
        await post.account(server)
        await post.add(mail("bad", body="x" * 3_000_000))
    db = SqlDb(database_url)
    damage = "UPDATE message_payload SET content = 'not-json'"
    await db.write(lambda connection: connection.exec_driver_sql(damage).rowcount)
    await db.close()
    async with running(config(retry=many)) as post:
        assert "internal error" in await post.reports.error("bad")  # 90 MB later
        await post.add(mail("good"))
        await post.reports.sent("good")


async def refused(post: Post, record: dict[str, object]) -> str:
    """Why the only message of a call is refused."""
    from mail_proxy.errors import RequestError

    try:
        await post.add(record)
    except RequestError as error:
        return str(error.detail["rejected"][0]["reason"])
    raise AssertionError("the message was taken")


async def test_each_of_several_saves_at_the_same_time_makes_a_version_of_its_own(
    config: Settings, server: ScriptedSmtpServer, db: SqlDb, tables: Tables
) -> None:
    async with running(config()) as post:
        pk = await post.account(server)
        saves = 12
        await asyncio.gather(*(post.account(server, ttl=60 + n) for n in range(saves)))
        which = {"tenant_id": "default", "pk": pk}
        row = await db.read(lambda connection: tables.accounts.get(connection, **which))
        assert row["version"] == 1 + saves
