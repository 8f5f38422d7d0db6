"""IMAP client for the event loop: each session works in a thread of its own."""

from __future__ import annotations

import asyncio
import base64
import imaplib
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import imapclient
from imapclient.exceptions import CapabilityError, IMAPClientError, LoginError

from mail_proxy.domain.account import TlsMode
from mail_proxy.domain.oauth2 import TokenLogin, token_mechanisms
from mail_proxy.imap.session import ImapSession
from mail_proxy.network.access_tokens import NoTokens, TokenSource, TokenTrouble
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.network.tls import system_tls_context

Result = TypeVar("Result")
_ANSWER_SECONDS = 30.0
_LONGEST_REASON = 500
#: Servers may log out a session that idles for half an hour (RFC 2177).
LONGEST_IDLE_SECONDS = 600.0
_IMPLICIT_TLS_PORT = 993
_ERRORS = (OSError, IMAPClientError, imaplib.IMAP4.error, ValueError)


class ImapTrouble(Exception):
    """The mailbox cannot be used now.

    ``stage`` is ``connect``, ``tls``, ``login``, ``select`` or ``read``.
    """

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason


@dataclass(frozen=True)
class ImapLogin:
    """Settings for opening a mailbox.

    ``private_allowed``: the administrator chose the host, which may be at any address.
    ``tokens``: access tokens are used instead of the password.
    """

    host: str
    port: int
    user: str
    password: str
    tls: TlsMode = TlsMode.SSL
    verify_cert: bool = True
    private_allowed: bool = False
    tokens: TokenLogin | None = None

    def __repr__(self) -> str:
        return f"ImapLogin({self.user} at {self.host}:{self.port} {self.tls})"


@dataclass(frozen=True)
class Mailbox:
    """State of a selected folder (RFC 3501 section 2.3.1.1).

    UIDs are valid as long as ``uidvalidity`` stays; all messages have UIDs below ``uidnext``.
    """

    uidvalidity: int
    uidnext: int
    exists: int


@dataclass(frozen=True)
class IMAPMessage:
    """A message of a mailbox, or the first 50 MB of a longer one."""

    uid: int
    octets: bytes


class IMAPClient:
    """One IMAP session. All methods but ``close`` raise ImapTrouble.

    It is over after the first trouble.
    """

    def __init__(
        self,
        login: ImapLogin,
        guard: NetworkGuard,
        *,
        seconds: float = _ANSWER_SECONDS,
        tokens: TokenSource | None = None,
    ) -> None:
        """Prepare a session; each answer may take ``seconds``.

        ``tokens`` has the access tokens of log-ins that use them.
        """
        self._login = login
        self._tokens = tokens or NoTokens()
        self._token: str | None = None
        self._guard = guard
        self._seconds = seconds
        self._thread = ThreadPoolExecutor(1, "imap")
        self._session: ImapSession | None = None

    async def open(self) -> None:
        """Connect, encrypt and log in; again with a new token if the server refuses one."""
        if self._login.tokens is None:
            return await self._open()
        await self._obtain_token(self._login.tokens)
        try:
            return await self._open()
        except ImapTrouble as trouble:
            if trouble.stage != "login":
                raise
        await self._obtain_token(self._login.tokens)
        await self._hang_up()
        return await self._open()

    async def _obtain_token(self, login: TokenLogin) -> None:
        try:
            self._token = await self._tokens.access_token(login, refused=self._token)
        except TokenTrouble as trouble:
            raise ImapTrouble("login", str(trouble)) from None

    async def _open(self) -> None:
        login = self._login
        try:
            async with asyncio.timeout(self._seconds):
                connected = await self._guard.connect(
                    login.host, login.port, private_allowed=login.private_allowed
                )
        except (OSError, UnicodeError) as error:
            raise ImapTrouble("connect", _reason(error)) from None
        is_implicit = login.tls is TlsMode.SSL or (
            login.tls is TlsMode.AUTO and login.port == _IMPLICIT_TLS_PORT
        )
        try:
            if is_implicit:
                connected = await self._on_thread("tls", _wrapped, connected, login, self._seconds)
            self._session = await self._on_thread(
                "connect", ImapSession, connected, login.host, self._seconds
            )
        finally:
            if self._session is None:
                connected.close()
        if not is_implicit:
            await self._on_thread("tls", _start_tls, self._session, login)
        if self._token is None:
            await self._on_thread("login", self._session.login, login.user, login.password)
        else:
            mechanisms = token_mechanisms(login.user, self._token, login.host, login.port)
            await self._on_thread("login", self._session.log_in_with_token, mechanisms)

    async def select(self, folder: str) -> Mailbox:
        """Open a folder, in which the other methods work then."""
        # Asked before: an answer behind SELECT may tell of mails that IDLE does not tell again.
        await self._run("select", lambda session: session.capabilities())
        answer = await self._run("select", lambda session: session.select_folder(folder))
        try:
            return Mailbox(
                int(answer[b"UIDVALIDITY"]), int(answer[b"UIDNEXT"]), int(answer[b"EXISTS"])
            )
        except (KeyError, TypeError, ValueError):
            raise ImapTrouble("select", "the server names no UIDVALIDITY and UIDNEXT") from None

    async def arrived_since(self, at: float, before: int) -> int:
        """Return the UID behind which all mails are that arrived since ``at``.

        ``at`` is Unix seconds; servers compare days. ``before`` is above the UIDs of all mails.
        """
        return await self._run("read", lambda session: session.last_before(at, before))

    async def having_header(self, uids: Sequence[int], name: str) -> set[int]:
        """Return those messages whose own header has a field of this name."""
        return await self._run("read", lambda session: session.having_header(uids, name))

    async def uids(self, after: int, before: int) -> list[int]:
        """Return the UIDs between two, both excluded, in order; of many, the first ones."""
        return await self._run("read", lambda session: session.uids(after, before))

    async def fetch(self, uid: int) -> IMAPMessage | None:
        """Return a message, which is not marked as seen; None if it is gone."""
        octets = await self._run("read", lambda session: session.message(uid))
        return None if octets is None else IMAPMessage(uid, octets)

    async def read_ahead(self, uids: Sequence[int]) -> None:
        """Read small messages together; ``fetch`` returns them then without a wait."""
        await self._run("read", lambda session: session.read_ahead(uids))

    async def mark_seen(self, uids: Sequence[int]) -> None:
        """Mark messages as seen."""
        await self._run(
            "read", lambda session: session.add_flags(uids, [imapclient.SEEN], silent=True)
        )

    async def delete(self, uids: Sequence[int]) -> None:
        """Delete messages."""
        await self._run("read", lambda session: session.remove(uids))

    async def move(self, uids: Sequence[int], folder: str) -> None:
        """Move messages to another folder, which is made if it is missing."""
        await self._run("read", lambda session: session.relocate(uids, folder))

    async def wait(self, seconds: float) -> None:
        """Return when the folder may have changed, or after ``seconds``.

        Without IDLE (RFC 2177) on the server, it is the time alone that ends the wait.
        """
        if await self._run("read", lambda session: session.has_capability("IDLE")):
            longest = min(seconds, LONGEST_IDLE_SECONDS)
            await self._run("read", lambda session: session.has_news(longest))
        else:
            await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Close the connection at once; nothing that was marked is lost by that."""
        await self._hang_up()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _hang_up(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await asyncio.to_thread(session.hang_up)

    async def _run(self, stage: str, work: Callable[[ImapSession], Result]) -> Result:
        if self._session is None:
            raise ImapTrouble(stage, "the session is closed")
        return await self._on_thread(stage, work, self._session)

    async def _on_thread(
        self, stage: str, work: Callable[..., Result], *arguments: object
    ) -> Result:
        """Run ``work`` on the session's thread. Cancelled, it closes the connection."""
        loop = asyncio.get_running_loop()
        is_whole = False
        try:
            result = await loop.run_in_executor(self._thread, work, *arguments)
            is_whole = True
        except _ERRORS as error:
            is_login = isinstance(error, LoginError)
            raise ImapTrouble("login" if is_login else stage, self._words(error)) from None
        finally:
            if not is_whole and self._session is not None:
                self._session.interrupt()
        return result

    def _words(self, error: Exception) -> str:
        """Return the reason of an error, without the secret that a server may repeat."""
        secret = self._token or self._login.password or "\0"
        encoded = base64.b64encode(secret.encode()).decode()
        return _reason(error).replace(secret, "********").replace(encoded, "********")


def _wrapped(connected: Any, login: ImapLogin, seconds: float) -> ssl.SSLSocket:
    connected.settimeout(seconds)
    return _context(login).wrap_socket(connected, server_hostname=login.host)


def _start_tls(session: ImapSession, login: ImapLogin) -> None:
    if login.tls is TlsMode.NONE:
        return
    if login.tls is TlsMode.AUTO and not session.has_capability("STARTTLS"):
        return
    session.encrypt(_context(login))


def _context(login: ImapLogin) -> ssl.SSLContext:
    return system_tls_context("imap", verify_cert=login.verify_cert)


def _reason(error: Exception) -> str:
    """Return an error of the library or the server as one bounded line."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, CapabilityError):
        return "the server offers no STARTTLS"
    text = str(error)
    if text.startswith(("b'", 'b"')):
        text = text[2:-1]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST_REASON]
