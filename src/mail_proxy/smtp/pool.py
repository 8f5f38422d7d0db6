"""Pool of open SMTP sessions, one set per account."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import partial

from mail_proxy.domain.account import SmtpLogin
from mail_proxy.domain.outcome import AccountTrouble
from mail_proxy.kit.clock import Clock, SystemClock
from mail_proxy.smtp.connection import Connector, PooledConnection
from mail_proxy.smtp.extension_backoff import ExtensionBackoff

#: Servers drop silent clients after minutes. Longer idle sessions are rarely used again.
_MAX_IDLE_SECONDS = 30.0
_QUIT_SECONDS = 2.0
#: Over all accounts, because each idle session holds a file descriptor.
_MOST_IDLE = 200


class _Account:
    """The sessions of one account.

    ``open`` counts sessions being opened, idle and in use; ``callers`` counts calls inside
    ``acquire``; ``version`` is the newest version of the account seen so far. ``proven`` is the
    version whose log-in has worked; until then a single session is opened, whose result
    ``proving`` will be.
    """

    __slots__ = ("callers", "idle", "in_use", "open", "proven", "proving", "version", "waiters")

    def __init__(self) -> None:
        self.version = 0
        self.proven = -1
        self.proving: asyncio.Future[AccountTrouble | None] | None = None
        self.open = 0
        self.callers = 0
        self.idle: list[PooledConnection] = []
        self.in_use: set[PooledConnection] = set()
        self.waiters: deque[asyncio.Future[None]] = deque()

    def is_worn(self, connection: PooledConnection, now: float) -> bool:
        """Return whether the session must be closed after use: broken, old or outdated."""
        login = connection.login
        return (
            not connection.is_open
            or connection.retired
            or login.version < self.version
            or connection.transactions >= connection.most_transactions
            or now - connection.opened_at >= login.ttl_seconds
        )

    def is_unfit(self, connection: PooledConnection, now: float) -> bool:
        """Return whether an idle session must be closed instead of being used again."""
        return now - connection.idle_since >= _MAX_IDLE_SECONDS or self.is_worn(connection, now)

    def forget(self, count: int = 1) -> None:
        """Count ``count`` sessions as closed, and wake as many waiters."""
        self.open -= count
        for _ in range(count):
            self.wake_one()

    def wake_one(self) -> None:
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def turn(self) -> None:
        """Wait until a session may be free, first come, first served."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.wake_one()
            raise


class SMTPPool:
    """Pool of SMTP sessions: bounded per account, and idle ones over all accounts.

    An account has at most ``SmtpLogin.max_connections``, and sessions are never shared between
    accounts. The session used last is used next, so that unneeded ones become idle. A session
    is closed after ``ttl_seconds``, after ``batch_size`` messages, if the account was saved
    (``version``), after 30 idle seconds, or as the longest idle one of more than ``most_idle``. The
    owner calls ``reap`` regularly to close idle sessions of accounts that are not used.
    """

    def __init__(
        self,
        connector: Connector | None = None,
        *,
        clock: Clock | None = None,
        most_idle: int = _MOST_IDLE,
    ) -> None:
        self.connector = connector or Connector()
        self._most_idle = most_idle
        #: Idle sessions of all accounts, longest idle first.
        self._idle: OrderedDict[PooledConnection, _Account] = OrderedDict()
        self._clock = clock or SystemClock()
        self._accounts: dict[str, _Account] = {}
        self._backoff = ExtensionBackoff(self._clock)

    async def acquire(
        self, login: SmtpLogin, *, fresh: bool = False
    ) -> PooledConnection | AccountTrouble:
        """Return a session for the caller's sole use. Wait while all are in use.

        Give it back with ``release``. ``fresh`` asks for a new session, after an idle one turned
        out to be closed by the server. The other idle ones are dropped, being idle even longer.
        """
        account = self._accounts.setdefault(login.account_pk, _Account())
        account.version = max(account.version, login.version)
        account.callers += 1
        try:
            while True:
                connection = self._pick_idle(account, fresh)
                if connection is not None:
                    account.in_use.add(connection)
                    return connection
                if account.proven < login.version:
                    proven = await self._prove(account, login)
                    if proven is not None:
                        return proven
                elif account.open < login.max_connections:
                    return await self._open(account, login)
                else:
                    await account.turn()
        finally:
            account.callers -= 1

    def release(self, connection: PooledConnection) -> None:
        """Return a session of ``acquire`` to the pool, also if it is broken.

        Does not wait: a session that must be closed sends QUIT and closes in the background.
        """
        now = self._clock.monotonic()
        account = self._accounts[connection.login.account_pk]
        account.in_use.remove(connection)
        if account.is_worn(connection, now):
            connection.hang_up(_QUIT_SECONDS)
            account.forget()
        else:
            connection.idle_since = now
            account.idle.append(connection)
            self._idle[connection] = account
            account.wake_one()
            if len(self._idle) > self._most_idle:
                self._end_longest_idle()

    async def reap(self, now: float) -> None:
        """Close idle sessions that are too old, and forget accounts without sessions.

        ``now`` is the clock's monotonic time.
        """
        unfit: list[PooledConnection] = []
        for pk, account in list(self._accounts.items()):
            ended = [idle for idle in account.idle if account.is_unfit(idle, now)]
            self._forget_idle(account, ended)
            unfit += ended
            if not account.open and not account.callers:
                del self._accounts[pk]
        await _quit(unfit)

    async def close_account(self, account_pk: str) -> None:
        """Close the account's idle sessions now, and those in use when they are released."""
        account = self._accounts.get(account_pk)
        if account is None:
            return
        for connection in account.in_use:
            connection.retired = True
        idle = list(account.idle)
        self._forget_idle(account, idle)
        await _quit(idle)

    async def close_all(self) -> None:
        """Close the sessions of all accounts. Takes a few seconds at most."""
        await asyncio.gather(*[self.close_account(pk) for pk in list(self._accounts)])

    def _may_go_on(self, account: _Account, connection: PooledConnection) -> bool:
        """Return whether a burst may have another mail: no caller waits for the session."""
        return not account.waiters and not account.is_worn(connection, self._clock.monotonic())

    def _pick_idle(self, account: _Account, fresh: bool) -> PooledConnection | None:
        now = self._clock.monotonic()
        while account.idle:
            connection = account.idle.pop()
            del self._idle[connection]
            if not fresh and not account.is_unfit(connection, now):
                connection.idle_seconds = now - connection.idle_since
                return connection
            connection.hang_up(_QUIT_SECONDS)
            account.forget()
        return None

    def _end_longest_idle(self) -> None:
        connection, account = next(iter(self._idle.items()))
        self._forget_idle(account, [connection])
        connection.hang_up(_QUIT_SECONDS)

    def _forget_idle(self, account: _Account, ended: Collection[PooledConnection]) -> None:
        account.idle = [idle for idle in account.idle if idle not in ended]
        for connection in ended:
            del self._idle[connection]
        account.forget(len(ended))

    async def _prove(
        self, account: _Account, login: SmtpLogin
    ) -> PooledConnection | AccountTrouble | None:
        """Open the first session, or wait for the one that another caller opens.

        Providers lock accounts after a few log-ins with a wrong password. So all who wait get the
        trouble of the first session. Returns None if they may open their own.
        """
        if (first := account.proving) is not None:
            await asyncio.wait([first])
            return first.result()
        proving = account.proving = asyncio.get_running_loop().create_future()
        opened: PooledConnection | AccountTrouble | None = None
        try:
            opened = await self._open(account, login)
        finally:
            account.proving = None
            if isinstance(opened, PooledConnection):
                account.proven = login.version
            proving.set_result(opened if isinstance(opened, AccountTrouble) else None)
        return opened

    async def _open(self, account: _Account, login: SmtpLogin) -> PooledConnection | AccountTrouble:
        account.open += 1
        connection: PooledConnection | AccountTrouble | None = None
        try:
            connection = await self.connector.open(login)
        finally:
            if not isinstance(connection, PooledConnection):
                account.forget()
        if isinstance(connection, AccountTrouble):
            if connection.refuses_login:
                account.proven = -1
            return replace(connection, others_work=any(c.is_open for c in account.in_use))
        if isinstance(connection, PooledConnection):
            connection.opened_at = self._clock.monotonic()
            connection.backoff = self._backoff
            connection.may_go_on = partial(self._may_go_on, account, connection)
            account.in_use.add(connection)
        return connection


async def _quit(connections: Iterable[PooledConnection]) -> None:
    await asyncio.gather(*[connection.quit(_QUIT_SECONDS) for connection in connections])
