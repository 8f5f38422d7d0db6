"""Scripted SMTP server on loopback, which records the commands and mails it gets.

async with ScriptedSmtpServer() as server:
    server.on_recipient("gone@example.org", "550 5.1.1 no such user")
    server.on("end of data", "451 4.3.0 later", times=1)
    ...
    assert server.accepted[0].recipients == ("ann@example.org",)
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self

from mail_proxy.testing.initial_response import TokenLogin, TokenLogins
from mail_proxy.testing.smtp_script import Act, Rule, Script, Stage

__all__ = ["AcceptedMail", "Act", "Script", "ScriptedSmtpServer", "Stage"]

#: Octets that were sent in one piece arrive on loopback in less time.
_SENT_AHEAD_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class AcceptedMail:
    """Mail that the server accepted.

    ``data`` has no dot-stuffing and no final dot. ``parameters`` are those of MAIL, in upper case.
    ``session`` counts connections from 1.
    """

    mail_from: str
    recipients: tuple[str, ...]
    data: bytes
    parameters: tuple[str, ...]
    session: int


@dataclass(slots=True, eq=False)
class _Session:
    """Connection of a client, with its mail transaction."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    is_secure: bool
    is_known: bool = False
    is_mute: bool = False
    mail_from: str | None = None
    parameters: tuple[str, ...] = ()
    recipients: list[str] = field(default_factory=list)

    def reset(self) -> None:
        self.mail_from, self.parameters = None, ()
        self.recipients = []


class _Ended(Exception):
    """End of a session by the script or by QUIT, which is not an error."""


class ScriptedSmtpServer:
    """Scripted SMTP server, which listens on ``host:port`` inside ``async with``.

    With ``tls_context`` (a server's) it offers STARTTLS, or speaks TLS from the start with
    ``implicit_tls``. With ``users`` (name to password) it offers AUTH PLAIN and LOGIN and demands
    it. With ``accepts_token``, a function of user and token, it offers OAUTHBEARER and XOAUTH2 (or
    ``mechanisms``) and demands one of them; ``logins`` has all that were presented. ``size`` is
    advertised only; a script must refuse larger mails. ``accepted`` holds the mails, ``commands``
    every command line with the number of its session, and ``connections`` is the number of
    sessions.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        pipelining: bool = True,
        chunking: bool = False,
        tls_context: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        users: dict[str, str] | None = None,
        accepts_token: Callable[[str, str], bool] | None = None,
        mechanisms: Sequence[str] = ("OAUTHBEARER", "XOAUTH2"),
        size: int | None = None,
        eight_bit: bool = True,
        smtputf8: bool = True,
    ) -> None:
        self.port = 0
        self.connections = 0
        self.accepted: list[AcceptedMail] = []
        self.commands: list[tuple[int, str]] = []
        self._tls_context = tls_context
        self._implicit_tls = implicit_tls
        self._users = users
        self._tokens = TokenLogins(accepts_token, mechanisms) if accepts_token else None
        self._extensions = [
            *(["PIPELINING"] if pipelining else []),
            *(["CHUNKING"] if chunking else []),
            *([f"SIZE {size}"] if size is not None else []),
            *(["8BITMIME"] if eight_bit else []),
            *(["SMTPUTF8"] if smtputf8 else []),
        ]
        self._rules: dict[str, list[Rule]] = {}
        self._sessions: dict[_Session, asyncio.Task[None]] = {}
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._verbs: dict[str, Callable[[_Session, str], Awaitable[None]]] = {
            "EHLO": self._ehlo,
            "HELO": self._ehlo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "BDAT": self._bdat,
            "RSET": self._rset,
            "QUIT": self._quit,
        }

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve,
            self.host,
            self.port,
            ssl=self._tls_context if self._implicit_tls else None,
            limit=2**24,
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
        tasks = list(self._sessions.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    def on(self, stage: Stage, script: Script, *, times: int | None = None) -> None:
        """Answer ``stage`` with ``script``, for the next ``times`` (None: always).

        ``connect`` is the greeting. ``body`` is the moment after the first line of a mail: a reply
        there comes too early, and is the only one to that mail. ``sent ahead`` replaces the answer
        to MAIL if the client sends more without waiting for it; those commands are discarded.
        Earlier rules are used first while they last.
        """
        self._rules.setdefault(stage, []).append(Rule(script, times))

    @property
    def logins(self) -> list[TokenLogin]:
        """All log-ins with tokens that were presented."""
        return [] if self._tokens is None else self._tokens.seen

    def offer(self, mechanisms: Sequence[str]) -> None:
        """Offer these mechanisms from now on, with ``accepts_token``."""
        assert self._tokens is not None, "the server takes no tokens"
        self._tokens.mechanisms = mechanisms

    def on_recipient(self, address: str, script: Script, *, times: int | None = None) -> None:
        """Answer RCPT with this address by ``script``, for the next ``times``."""
        self._rules.setdefault("RCPT", []).append(Rule(script, times, address))

    def forget_script(self) -> None:
        self._rules.clear()

    @property
    def open_connections(self) -> int:
        return len(self._sessions)

    async def drop_connections(self, *, last_words: str | None = None) -> None:
        """Close every open connection, as a server does with idle clients."""
        for session in list(self._sessions):
            if last_words is not None:
                session.writer.write(last_words.encode() + b"\r\n")
            session.writer.close()
        await self.wait_until(lambda: not self._sessions)

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds.

        It is checked after every command, mail and connection. The wait has no time limit except
        the test's own.
        """
        async with self._changed:
            await self._changed.wait_for(condition)

    async def received(self, count: int) -> list[AcceptedMail]:
        """Wait for ``count`` accepted mails and return all of them."""
        await self.wait_until(lambda: len(self.accepted) >= count)
        return self.accepted

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        session = _Session(self.connections, reader, writer, self._implicit_tls)
        task = asyncio.current_task()
        assert task is not None
        self._sessions[session] = task
        try:
            await self._converse(session)
        except (_Ended, OSError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            # Swallowed on purpose: the server is closing, and asyncio's stream server
            # complains about handlers that end cancelled.
            pass
        finally:
            writer.transport.abort()
            del self._sessions[session]
            await self._notify()

    async def _converse(self, session: _Session) -> None:
        await self._answer(session, "connect", "220 scripted.example ESMTP")
        await self._notify()
        while True:
            line = await session.reader.readuntil(b"\r\n")
            text = line[:-2].decode("utf-8", "replace")
            self.commands.append((session.number, text))
            verb, _, argument = text.partition(" ")
            handle = self._verbs.get(verb.upper())
            if handle is None:
                await self._say(session, "500 5.5.1 unknown command")
            else:
                await handle(session, argument)
            await self._notify()

    async def _answer(
        self, session: _Session, stage: Stage, default: str, path: str | None = None
    ) -> bool:
        """Act out the script for ``stage``; return True if the reply was positive."""
        reply = await self._play(session, self._script(stage, default, path))
        return isinstance(reply, str) and reply[:1] == ("3" if stage == "DATA" else "2")

    def _script(self, stage: Stage, default: Script, path: str | None = None) -> Script:
        for rule in self._rules.get(stage, ()):
            if rule.use(path):
                return rule.script
        return default

    async def _play(self, session: _Session, script: Script) -> str | bytes:
        """Act out ``script``; return its reply."""
        reply: str | bytes = ""
        act: Act | None = None
        if isinstance(script, tuple):
            reply, act = script
        elif isinstance(script, Act):
            act = script
        else:
            reply = script
        if reply:
            await self._say(session, reply)
        if act is Act.SILENCE:
            session.is_mute = True
        if act is Act.DROP:
            session.writer.close()
            raise _Ended
        return reply

    async def _read_ahead(self, session: _Session) -> bytes:
        """Read and return the octets that the client sent without waiting for a reply."""
        try:
            return await asyncio.wait_for(session.reader.read(2**16), _SENT_AHEAD_SECONDS)
        except TimeoutError:
            return b""

    async def _say(self, session: _Session, reply: str | bytes) -> None:
        if session.is_mute:
            return
        session.writer.write(reply if isinstance(reply, bytes) else reply.encode() + b"\r\n")
        await session.writer.drain()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _ehlo(self, session: _Session, _: str) -> None:
        session.reset()
        offers = ["scripted.example", *self._extensions]
        if self._tls_context is not None and not session.is_secure:
            offers.append("STARTTLS")
        if self._users is not None:
            offers.append("AUTH PLAIN LOGIN")
        if self._tokens is not None:
            offers.append(" ".join(["AUTH", *self._tokens.mechanisms]))
        lines = [f"250-{offer}" for offer in offers[:-1]] + [f"250 {offers[-1]}"]
        await self._answer(session, "EHLO", "\r\n".join(lines))

    async def _starttls(self, session: _Session, _: str) -> None:
        if await self._answer(session, "STARTTLS", "220 2.0.0 go ahead"):
            assert self._tls_context is not None
            await session.writer.start_tls(self._tls_context)
            session.is_secure = True

    async def _auth(self, session: _Session, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if self._tokens is not None:
            await self._auth_with_token(session, self._tokens, mechanism, initial)
            return
        if mechanism.upper() == "PLAIN":
            _, user, password = _decoded(initial or await self._ask(session, "")).split("\0")
        else:
            user = _decoded(initial or await self._ask(session, "VXNlcm5hbWU6"))
            password = _decoded(await self._ask(session, "UGFzc3dvcmQ6"))
        known = self._users is not None and self._users.get(user) == password
        default = "235 2.7.0 welcome" if known else "535 5.7.8 authentication failed"
        session.is_known = await self._answer(session, "AUTH", default)

    async def _auth_with_token(
        self, session: _Session, tokens: TokenLogins, mechanism: str, initial: str
    ) -> None:
        if mechanism not in tokens.mechanisms:
            await self._say(session, "504 5.5.4 unrecognized authentication type")
            return
        response = initial or await self._ask(session, "")
        user = await tokens.accepted(mechanism, response, partial(self._ask, session))
        known = "235 2.7.0 accepted" if user else "535 5.7.8 Username and Password not accepted"
        session.is_known = await self._answer(session, "AUTH", known)

    async def _ask(self, session: _Session, question: str) -> str:
        await self._say(session, f"334 {question}")
        return (await session.reader.readuntil(b"\r\n")).decode().strip()

    async def _mail(self, session: _Session, argument: str) -> None:
        if session.mail_from is not None:
            await self._say(session, "503 5.5.1 nested MAIL")
            return
        demands = self._users is not None or self._tokens is not None
        if demands and not session.is_known:
            await self._say(session, "530 5.7.0 authentication required")
            return
        if "sent ahead" in self._rules and await self._read_ahead(session):
            script = self._script("sent ahead", Act.FLUSH)
            if script is not Act.FLUSH:
                await self._play(session, script)
                return
        path, parameters = _path(argument)
        if await self._answer(session, "MAIL", "250 2.1.0 ok", path):
            session.mail_from, session.parameters = path, parameters

    async def _rcpt(self, session: _Session, argument: str) -> None:
        if session.mail_from is None:
            await self._say(session, "503 5.5.1 MAIL first")
            return
        path, _ = _path(argument)
        if await self._answer(session, "RCPT", "250 2.1.5 ok", path):
            session.recipients.append(path)

    async def _data(self, session: _Session, _: str) -> None:
        default = "354 go ahead" if session.recipients else "554 5.5.1 no valid recipients"
        if not await self._answer(session, "DATA", default):
            return
        lines = [await session.reader.readuntil(b"\r\n")]
        is_answered = "body" in self._rules
        if is_answered:
            await self._answer(session, "body", "")
        while lines[-1] != b".\r\n":
            lines.append(await session.reader.readuntil(b"\r\n"))
        data = b"".join([line.removeprefix(b".") for line in lines[:-1]])
        await self._end_of_data(session, data, is_answered=is_answered)

    async def _bdat(self, session: _Session, argument: str) -> None:
        """Read the mail in one chunk, even if no recipient was accepted."""
        size, _, last = argument.partition(" ")
        data = await session.reader.readexactly(int(size))
        if last != "LAST":
            await self._say(session, "504 5.5.4 one chunk only")
        elif "BDAT" in self._rules or not session.recipients:
            await self._answer(session, "BDAT", "503 5.5.1 no valid recipients")
        else:
            await self._end_of_data(session, data)

    async def _end_of_data(
        self, session: _Session, data: bytes, *, is_answered: bool = False
    ) -> None:
        mail = AcceptedMail(
            session.mail_from or "",
            tuple(session.recipients),
            data,
            session.parameters,
            session.number,
        )
        session.reset()
        if is_answered:
            return
        if await self._answer(session, "end of data", "250 2.0.0 queued") and mail.recipients:
            self.accepted.append(mail)

    async def _rset(self, session: _Session, _: str) -> None:
        session.reset()
        await self._answer(session, "RSET", "250 2.0.0 ok")

    async def _quit(self, session: _Session, _: str) -> None:
        await self._answer(session, "QUIT", "221 2.0.0 bye")
        raise _Ended


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def _path(argument: str) -> tuple[str, tuple[str, ...]]:
    match = re.match(r"(?:FROM|TO):<((?:\"[^\"]*\"|[^>\"])*)>(.*)", argument, re.IGNORECASE)
    if match is None:
        return argument, ()
    return match[1], tuple(match[2].upper().split())
