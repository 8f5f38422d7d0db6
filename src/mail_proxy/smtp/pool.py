"""Open SMTP sessions, kept per account and handed out one at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from mail_proxy.domain.account import SmtpLogin
from mail_proxy.domain.outcome import AccountTrouble
from mail_proxy.kit.clock import Clock, SystemClock
from mail_proxy.smtp.connection import Connector, PooledConnection

#: Servers drop silent clients after minutes; keeping one longer than this rarely pays.
_MAX_IDLE_SECONDS = 30.0
_QUIT_SECONDS = 2.0


class _Account:
    """The sessions of one account. ``open`` counts those being opened, idle and in use;
    ``callers`` those who are inside ``acquire``."""

    __slots__ = ("callers", "idle", "in_use", "open", "waiters")

    def __init__(self) -> None:
        self.open = 0
        self.callers = 0
        self.idle: list[PooledConnection] = []
        self.in_use: set[PooledConnection] = set()
        self.waiters: deque[asyncio.Future[None]] = deque()

    def wake_one(self) -> None:
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def remove_idle(self, is_unfit: Callable[[PooledConnection], bool]) -> list[PooledConnection]:
        removed = [connection for connection in self.idle if is_unfit(connection)]
        self.idle = [connection for connection in self.idle if connection not in removed]
        return removed

    def forget(self, count: int) -> None:
        self.open -= count
        for _ in range(count):
            self.wake_one()


class SMTPPool:
    """Never more than ``SmtpLogin.max_connections`` sessions per account, never one shared
    between accounts. The session used last is used next, so that the others can grow old.

    A session ends after ``ttl_seconds``, after ``batch_size`` messages, when the account was
    saved (``version``) or after 30 idle seconds; the owner calls ``reap`` for those that nobody
    asks for.
    """

    def __init__(
        self,
        connector: Connector | None = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        self.connector = connector or Connector()
        self._clock = clock or SystemClock()
        self._accounts: dict[str, _Account] = {}

    async def acquire(
        self, login: SmtpLogin, *, fresh: bool = False
    ) -> PooledConnection | AccountTrouble:
        """A session that is yours until ``release``; waits while all that are allowed are in use.

        ``fresh``: one that has just been opened. The idle ones are dropped then, because they
        have been idle for longer than the one that made the caller ask.
        """
        account = self._accounts.setdefault(login.account_pk, _Account())
        account.callers += 1
        try:
            while True:
                connection = self._pick_idle(account, login, fresh)
                if connection is not None:
                    account.in_use.add(connection)
                    return connection
                if account.open < login.max_connections:
                    return await self._open(account, login)
                await _turn(account)
        finally:
            account.callers -= 1

    async def release(self, connection: PooledConnection) -> None:
        """Give back what ``acquire`` gave, in whatever state it is."""
        now = self._clock.monotonic()
        account = self._accounts[connection.login.account_pk]
        account.in_use.remove(connection)
        if self._is_worn(connection, connection.login, now):
            account.forget(1)
            await connection.quit(_QUIT_SECONDS)
        else:
            connection.idle_since = now
            account.idle.append(connection)
            account.wake_one()

    async def reap(self, now: float) -> None:
        """End the idle sessions that will not be used again, and forget accounts without any.

        ``now`` is the clock's monotonic time.
        """
        ended: list[PooledConnection] = []
        for pk, account in list(self._accounts.items()):
            ended += self._remove_idle(account, lambda idle: self._is_unfit(idle, idle.login, now))
            if not account.open and not account.callers:
                del self._accounts[pk]
        await _quit(ended)

    async def close_account(self, account_pk: str) -> None:
        """End the account's idle sessions now, and those in use when they are released."""
        account = self._accounts.get(account_pk)
        if account is None:
            return
        for connection in account.in_use:
            connection.retired = True
        ended = self._remove_idle(account, lambda _: True)
        await _quit(ended)

    async def close_all(self) -> None:
        """``close_account`` for all at once; takes at most a few seconds."""
        await asyncio.gather(*[self.close_account(pk) for pk in list(self._accounts)])

    def _pick_idle(
        self, account: _Account, login: SmtpLogin, fresh: bool
    ) -> PooledConnection | None:
        now = self._clock.monotonic()
        while account.idle:
            connection = account.idle.pop()
            if not fresh and not self._is_unfit(connection, login, now):
                return connection
            connection.hang_up()
            account.forget(1)
        return None

    async def _open(self, account: _Account, login: SmtpLogin) -> PooledConnection | AccountTrouble:
        account.open += 1
        connection: PooledConnection | AccountTrouble | None = None
        try:
            connection = await self.connector.open(login)
        finally:
            if not isinstance(connection, PooledConnection):
                account.forget(1)
        if isinstance(connection, PooledConnection):
            connection.opened_at = self._clock.monotonic()
            account.in_use.add(connection)
        return connection

    def _is_worn(self, connection: PooledConnection, login: SmtpLogin, now: float) -> bool:
        """``login`` is the account as it is now, the connection's own as it was."""
        return (
            not connection.is_open
            or connection.retired
            or connection.login.version != login.version
            or connection.transactions >= login.batch_size
            or now - connection.opened_at >= login.ttl_seconds
        )

    def _is_unfit(self, connection: PooledConnection, login: SmtpLogin, now: float) -> bool:
        return now - connection.idle_since >= _MAX_IDLE_SECONDS or self._is_worn(
            connection, login, now
        )

    def _remove_idle(
        self, account: _Account, is_unfit: Callable[[PooledConnection], bool]
    ) -> list[PooledConnection]:
        removed = account.remove_idle(is_unfit)
        account.forget(len(removed))
        return removed


async def _quit(connections: Iterable[PooledConnection]) -> None:
    await asyncio.gather(*[connection.quit(_QUIT_SECONDS) for connection in connections])


async def _turn(account: _Account) -> None:
    """Wait until a session may have become free, first come, first served."""
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    account.waiters.append(waiter)
    try:
        await waiter
    except asyncio.CancelledError:
        if waiter.done() and not waiter.cancelled():
            account.wake_one()
        raise
