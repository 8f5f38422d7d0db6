"""IMAP server on loopback for tests and demos, with its mails in memory.

async with ImapServer({"bounces": "secret"}) as server:
    server.append("bounces", dsn)
    ...
    assert server.mails("bounces") == []

It speaks IMAP4rev1 (RFC 3501) as clients that read a mailbox need it, IDLE, UIDPLUS, MOVE and
LITERAL+. ENVELOPE, BODYSTRUCTURE and subscriptions are missing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from mail_proxy.testing.imap_folders import Folders, StoredMail
from mail_proxy.testing.imap_session import ImapSession, SessionEnded
from mail_proxy.testing.initial_response import TokenLogin, TokenLogins

__all__ = ["ImapServer", "StoredMail"]

_LIMIT_BYTES = 2**16


class ImapServer:
    """IMAP server, which listens on ``host:port`` inside ``async with``.

    ``users`` maps names to passwords. With ``accepts_token``, a function of user and token, it
    offers OAUTHBEARER and XOAUTH2 (or ``mechanisms``); ``logins`` has all that were presented.
    With ``tls_context`` (a server's) it offers STARTTLS, or speaks TLS from the start with
    ``implicit_tls``. ``connections`` is the number of sessions.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        users: dict[str, str],
        *,
        tls_context: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        accepts_token: Callable[[str, str], bool] | None = None,
        mechanisms: Sequence[str] = ("OAUTHBEARER", "XOAUTH2"),
    ) -> None:
        self.port = 0
        self.connections = 0
        self._users = users
        self._tokens = TokenLogins(accepts_token, mechanisms) if accepts_token else None
        self._tls_context = tls_context
        self._implicit_tls = implicit_tls
        self._folders = {name: Folders() for name in users}
        self._changed = asyncio.Condition()
        self._sessions: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._notices: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve,
            self.host,
            self.port,
            ssl=self._tls_context if self._implicit_tls else None,
            limit=_LIMIT_BYTES,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [*self._sessions, *self._notices]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def logins(self) -> list[TokenLogin]:
        """All log-ins with tokens that were presented."""
        return [] if self._tokens is None else self._tokens.seen

    def append(
        self, user: str, octets: bytes, *, folder: str = "INBOX", flags: Sequence[str] = ()
    ) -> int:
        """Put a mail into a folder, which is made if it is missing; return its UID."""
        place = self._folders[user].find(folder) or self._folders[user].create(folder)
        uid = place.add(octets, flags).uid
        self._notify()
        return uid

    def mails(self, user: str, folder: str = "INBOX") -> list[StoredMail]:
        """Return the mails of a folder; none if it is missing."""
        found = self._folders[user].find(folder)
        return [] if found is None else list(found.mails.values())

    def recreate(self, user: str, folder: str = "INBOX") -> None:
        """Make a folder again, empty and with another UIDVALIDITY."""
        self._folders[user].create(folder)
        self._notify()

    def drop_connections(self) -> None:
        """Cut all connections."""
        for writer in self._sessions.values():
            writer.transport.abort()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds.

        It is checked after every command and every mail. The wait has no time limit except the
        test's own.
        """
        async with self._changed:
            await self._changed.wait_for(condition)

    def log_in(self, user: str, password: str | None) -> Folders | None:
        """Return the folders of a user, or None if name or password are wrong.

        The password None stands for a token that was accepted.
        """
        is_known = password is None or self._users.get(user) == password
        return self._folders.get(user) if is_known else None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._sessions[task] = writer
        is_secure = self._implicit_tls
        tls_context = None if is_secure else self._tls_context
        session = ImapSession(reader, writer, self.log_in, tls_context, self._changed, self._tokens)
        try:
            await session.greet()
            while True:
                await session.serve_command()
                self._notify()
        except (SessionEnded, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:
            # Swallowed on purpose, as in the SMTP server: asyncio complains about handlers that
            # end cancelled.
            pass
        finally:
            writer.transport.abort()
            del self._sessions[task]

    def _notify(self) -> None:
        task = asyncio.get_running_loop().create_task(self._wake())
        self._notices.add(task)
        task.add_done_callback(self._notices.discard)

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
