"""Which session a message gets, and when sessions end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.protocols.smtp.sessions import Session

from mail_proxy.domain.account import SmtpLogin
from mail_proxy.domain.outcome import AccountTrouble
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.connection import Connector, PooledConnection
from mail_proxy.smtp.pool import SMTPPool
from mail_proxy.testing.clock import FakeClock
from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer

Logins = Callable[..., SmtpLogin]
Messages = Callable[..., ComposedMail]


async def take(pool: SMTPPool, login: SmtpLogin, *, fresh: bool = False) -> PooledConnection:
    connection = await pool.acquire(login, fresh=fresh)
    assert isinstance(connection, PooledConnection), connection
    return connection


async def use(pool: SMTPPool, login: SmtpLogin, message: ComposedMail) -> PooledConnection:
    connection = await take(pool, login)
    await Session(connection).transact("a@example.com", ["b@example.org"], message)
    pool.release(connection)
    return connection


def waits(task: asyncio.Task[object]) -> bool:
    return not task.done()


async def test_a_session_is_used_again(
    pool: SMTPPool, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    first = await use(pool, login(server.port), message())
    assert await use(pool, login(server.port), message()) is first
    assert [mail.session for mail in server.accepted] == [1, 1]


async def test_last_used_first(pool: SMTPPool, server: ScriptedSmtpServer, login: Logins) -> None:
    one, two = await take(pool, login(server.port)), await take(pool, login(server.port))
    pool.release(two)
    pool.release(one)
    assert await take(pool, login(server.port)) is one
    assert await take(pool, login(server.port)) is two
    pool.release(one)
    pool.release(two)


async def test_never_shared_between_accounts(
    pool: SMTPPool, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    first = await use(pool, login(server.port), message())
    other = await use(pool, login(server.port, account_pk="account-2"), message())
    assert first is not other
    assert first.is_open
    assert server.connections == 2


async def test_at_most_max_connections(
    pool: SMTPPool, server: ScriptedSmtpServer, login: Logins
) -> None:
    held = [await take(pool, login(server.port)) for _ in range(2)]
    waiting = [asyncio.create_task(take(pool, login(server.port))) for _ in range(3)]
    await asyncio.sleep(0)
    assert all(map(waits, waiting))
    for connection in held:
        pool.release(connection)
    taken = [await waiting[0], await waiting[1]]
    assert set(taken) == set(held)
    assert waits(waiting[2])
    pool.release(held[0])
    assert await waiting[2] is held[0]
    for connection in held:
        pool.release(connection)
    assert server.connections == 2


async def test_a_closed_session_makes_room_for_a_waiting_one(
    pool: SMTPPool, server: ScriptedSmtpServer, login: Logins
) -> None:
    only = login(server.port, max_connections=1)
    held = await take(pool, only)
    waiting = asyncio.create_task(take(pool, only))
    await asyncio.sleep(0)
    held.abort()
    pool.release(held)
    second = await waiting
    assert second is not held
    pool.release(second)


async def test_a_waiter_that_gives_up_costs_nobody_a_session(
    pool: SMTPPool, server: ScriptedSmtpServer, login: Logins
) -> None:
    only = login(server.port, max_connections=1)
    held = await take(pool, only)
    first, second = (asyncio.create_task(take(pool, only)) for _ in range(2))
    await asyncio.sleep(0)
    pool.release(held)
    first.cancel()
    assert await second is held
    with pytest.raises(asyncio.CancelledError):
        await first
    pool.release(held)


async def test_trouble_is_handed_on_and_takes_no_room(
    pool: SMTPPool, server: ScriptedSmtpServer, login: Logins
) -> None:
    only = login(server.port, max_connections=1)
    server.on("connect", "421 too many connections", times=1)
    results = await asyncio.gather(pool.acquire(only), pool.acquire(only))
    assert [type(result) for result in results] == [AccountTrouble, AccountTrouble]
    pool.release(await take(pool, only))


async def test_cancelled_while_opening_takes_no_room(
    pool: SMTPPool, server: ScriptedSmtpServer, login: Logins
) -> None:
    only = login(server.port, max_connections=1)
    server.on("EHLO", Act.SILENCE, times=1)
    task = asyncio.create_task(take(pool, only))
    await server.wait_until(lambda: len(server.commands) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.wait_until(lambda: server.open_connections == 0)
    pool.release(await take(pool, only))


@pytest.mark.parametrize(
    ("seconds", "renewed"), [(29.9, False), (30.0, True)], ids=["rested", "idle too long"]
)
async def test_idle_time(
    pool: SMTPPool,
    clock: FakeClock,
    server: ScriptedSmtpServer,
    login: Logins,
    message: Messages,
    seconds: float,
    renewed: bool,
) -> None:
    first = await use(pool, login(server.port), message())
    clock.advance(seconds)
    second = await use(pool, login(server.port), message())
    assert (second is not first) == renewed
    assert first.is_open != renewed


async def test_life_time(
    pool: SMTPPool, clock: FakeClock, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    short = login(server.port, ttl_seconds=10.0)
    first = await use(pool, short, message())
    clock.advance(9.9)
    assert await use(pool, short, message()) is first
    connection = await take(pool, short)
    clock.advance(0.2)
    pool.release(connection)
    assert not first.is_open
    assert await use(pool, short, message()) is not first


async def test_messages_per_session(
    pool: SMTPPool, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    for _ in range(5):
        await use(pool, login(server.port, batch_size=2), message())
    assert [mail.session for mail in server.accepted] == [1, 1, 2, 2, 3]


async def test_a_saved_account_gets_new_sessions(
    pool: SMTPPool, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    only = login(server.port, max_connections=1)
    first = await use(pool, only, message())
    saved = login(server.port, max_connections=1, version=2)
    second = await use(pool, saved, message())
    assert second is not first
    assert not first.is_open


async def test_a_session_in_use_while_the_account_is_saved_ends_afterwards(
    pool: SMTPPool, server: ScriptedSmtpServer, login: Logins
) -> None:
    old = await take(pool, login(server.port))
    new = await take(pool, login(server.port, version=2))
    pool.release(old)
    pool.release(new)
    assert not old.is_open
    assert await take(pool, login(server.port)) is new
    pool.release(new)


async def test_fresh_drops_what_was_idle(
    pool: SMTPPool, server: ScriptedSmtpServer, login: Logins
) -> None:
    held = [await take(pool, login(server.port)) for _ in range(2)]
    for connection in held:
        pool.release(connection)
    fresh = await take(pool, login(server.port), fresh=True)
    assert fresh not in held
    assert not any(connection.is_open for connection in held)
    pool.release(fresh)


async def test_what_the_server_closed_is_not_handed_out(
    pool: SMTPPool, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    first = await use(pool, login(server.port), message())
    await server.drop_connections()
    await first.wait_closed()
    assert await use(pool, login(server.port), message()) is not first


async def test_reap(
    pool: SMTPPool, clock: FakeClock, server: ScriptedSmtpServer, login: Logins
) -> None:
    old, young = await take(pool, login(server.port)), await take(pool, login(server.port))
    pool.release(old)
    clock.advance(20)
    pool.release(young)
    clock.advance(10)
    await pool.reap(clock.monotonic())
    assert not old.is_open
    assert young.is_open
    assert server.commands[-1] == (1, "QUIT")


async def test_of_too_many_idle_sessions_the_longest_idle_ends(
    server: ScriptedSmtpServer, login: Logins, message: Messages, clock: FakeClock
) -> None:
    pool = SMTPPool(clock=clock, most_idle=2)
    accounts = [login(server.port, account_pk=f"account-{number}") for number in range(3)]
    first, second, third = [await use(pool, account, message()) for account in accounts]
    await first.wait_closed()
    assert second.is_open
    assert await use(pool, accounts[1], message()) is second
    again = await use(pool, accounts[0], message())
    assert again is not first
    await third.wait_closed()
    assert await use(pool, accounts[1], message()) is second
    assert [line for _, line in server.commands].count("QUIT") == 2
    await pool.close_all()


async def test_close_account(pool: SMTPPool, server: ScriptedSmtpServer, login: Logins) -> None:
    other = await take(pool, login(server.port, account_pk="account-2"))
    idle, busy = await take(pool, login(server.port)), await take(pool, login(server.port))
    pool.release(idle)
    pool.release(other)
    await pool.close_account("account-1")
    await pool.close_account("unknown")
    assert not idle.is_open
    assert busy.is_open
    pool.release(busy)
    assert not busy.is_open
    assert other.is_open


async def test_close_all_is_polite_but_does_not_wait_for_the_deaf(
    pool: SMTPPool, server: ScriptedSmtpServer, login: Logins
) -> None:
    server.on("QUIT", Act.SILENCE, times=1)
    held = [await take(pool, login(server.port)) for _ in range(2)]
    for connection in held:
        pool.release(connection)
    await asyncio.wait_for(pool.close_all(), 10)
    assert not any(connection.is_open for connection in held)
    assert [line for _, line in server.commands].count("QUIT") == 2
    await server.wait_until(lambda: server.open_connections == 0)


async def test_reap_does_not_forget_an_account_that_somebody_waits_for(
    pool: SMTPPool, clock: FakeClock, server: ScriptedSmtpServer, login: Logins
) -> None:
    only = login(server.port, max_connections=1)
    held = await take(pool, only)
    waiting = asyncio.create_task(take(pool, only))
    await asyncio.sleep(0)
    held.abort()
    pool.release(held)
    await pool.reap(clock.monotonic())
    pool.release(await waiting)
    assert await take(pool, only) is waiting.result()
    pool.release(waiting.result())


async def test_an_account_whose_log_in_has_not_worked_yet_opens_one_session_first(
    pool: SMTPPool, login: Logins
) -> None:
    async with ScriptedSmtpServer(users={"u": "right"}) as server:
        wrong = login(server.port, user="u", password="wrong", max_connections=5)
        results = await asyncio.gather(*[pool.acquire(wrong) for _ in range(5)])
        assert all(isinstance(r, AccountTrouble) and r.refuses_login for r in results)
        assert server.connections == 1
        right = login(server.port, user="u", password="right", max_connections=5, version=2)
        opened = await asyncio.gather(*[take(pool, right) for _ in range(5)])
        assert len(set(opened)) == 5
        assert server.connections == 6
        for connection in opened:
            pool.release(connection)


async def test_a_log_in_that_stops_working_is_tried_on_one_session(
    pool: SMTPPool, login: Logins
) -> None:
    async with ScriptedSmtpServer(users={"u": "right"}) as server:
        account = login(server.port, user="u", password="right", max_connections=5)
        pool.release(await take(pool, account))
        await pool.close_all()
        server.on("AUTH", "535 5.7.8 changed")
        assert isinstance(await pool.acquire(account), AccountTrouble)
        before = server.connections
        results = await asyncio.gather(*[pool.acquire(account) for _ in range(4)])
        assert all(isinstance(r, AccountTrouble) for r in results)
        assert server.connections == before + 1


async def test_a_first_session_that_is_cancelled_leaves_its_place_to_the_next_caller(
    pool: SMTPPool, login: Logins
) -> None:
    async with ScriptedSmtpServer() as server:
        server.on("connect", Act.SILENCE, times=1)
        first = asyncio.create_task(pool.acquire(login(server.port)))
        await server.wait_until(lambda: server.connections == 1)
        second = asyncio.create_task(take(pool, login(server.port)))
        await asyncio.sleep(0)
        first.cancel()
        pool.release(await second)


async def test_a_refused_session_says_whether_others_are_open(
    pool: SMTPPool, server: ScriptedSmtpServer, login: Logins
) -> None:
    server.on("connect", ("421 4.7.0 too many", Act.DROP), times=1)
    refused = await pool.acquire(login(server.port))
    assert isinstance(refused, AccountTrouble)
    assert not refused.others_work
    held = await take(pool, login(server.port))
    server.on("connect", ("421 4.7.0 too many", Act.DROP), times=1)
    refused = await pool.acquire(login(server.port))
    assert isinstance(refused, AccountTrouble)
    assert refused.others_work
    pool.release(held)


async def test_ehlo_says_the_name_of_the_account_else_of_the_settings(
    server: ScriptedSmtpServer, login: Logins
) -> None:
    pool = SMTPPool(Connector(local_hostname="mail.example.org"))
    for name in (None, "shop.example.net", "[192.0.2.1]"):
        pk = f"account {name}"
        pool.release(await take(pool, login(server.port, account_pk=pk, helo_name=name)))
    await pool.close_all()
    said = [line for _, line in server.commands if line.startswith("EHLO")]
    assert said == ["EHLO mail.example.org", "EHLO shop.example.net", "EHLO [192.0.2.1]"]
