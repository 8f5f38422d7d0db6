"""SMTP sessions of submission: aiosmtpd's protocol with bounds of its own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Protocol

from aiosmtpd.smtp import SMTP

from mail_proxy.domain.networks import is_loopback
from mail_proxy.kit.body_budget import BodyBudget

#: Between two commands, and for the whole of a mail.
IDLE_SECONDS = 300.0
_PIECE = 65_536
_END = b"\r\n.\r\n"


class Sessions(Protocol):
    """Registry of the open sessions."""

    def add(self, session: SubmissionSession, address: str) -> bool:
        """Register a session; False if there is no room for it."""

    def remove(self, session: SubmissionSession) -> None:
        """Forget a session."""


class SubmissionSession(SMTP):
    """Session of a client. Log-ins off loopback need STARTTLS first.

    The content of a mail is read in pieces, not line by line: aiosmtpd keeps an object for each
    line, which takes a gigabyte for a mail of empty lines. At most a budget of content is in
    memory over all sessions, with a share for each tenant.
    """

    #: Of the reader's buffer. Commands have limits of their own.
    line_length_limit = _PIECE

    def __init__(
        self,
        handler: Any,
        sessions: Sessions,
        budget: BodyBudget,
        budget_bytes: int,
        *,
        most_bytes: int,
        tls_context: ssl.SSLContext | None,
        hostname: str,
    ) -> None:
        """``most_bytes`` is the size of the largest mail."""
        super().__init__(
            handler,
            data_size_limit=most_bytes,
            enable_SMTPUTF8=True,
            hostname=hostname,
            ident="ESMTP",
            tls_context=tls_context,
            timeout=IDLE_SECONDS,
            auth_required=True,
            auth_require_tls=True,
            command_call_limit={"AUTH": 10, "NOOP": 100, "VRFY": 10, "HELP": 10, "*": 1_000_000},
            loop=asyncio.get_running_loop(),
        )
        self._sessions = sessions
        self._budget = budget
        self._budget_bytes = budget_bytes
        self._most_bytes = most_bytes
        self._is_admitted = False
        self.address = ""
        self.failures = 0
        #: True while a mail is read or stored.
        self.is_busy = False

    @property
    def is_encrypted(self) -> bool:
        """True after STARTTLS."""
        return self._tls_protocol is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or answer 421 if there is no room; also after STARTTLS."""
        if not self._is_admitted:
            peer = transport.get_extra_info("peername")
            self.address = str(peer[0]) if isinstance(peer, tuple) else ""
            if not self._sessions.add(self, self.address):
                assert isinstance(transport, asyncio.WriteTransport)
                transport.write(b"421 4.3.2 too many connections, try again later\r\n")
                transport.close()
                return
            self._is_admitted = True
            self._auth_require_tls = not is_loopback(self.address)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the session; a mail that is being stored gets no answer."""
        if self._is_admitted:
            self._sessions.remove(self)
            super().connection_lost(error)

    def eof_received(self) -> bool | None:
        """End the session: the client has ended it."""
        return super().eof_received() if self._is_admitted else False

    def abort(self) -> None:
        """Close the connection at once."""
        if self.transport is not None:
            (self._original_transport or self.transport).abort()  # type: ignore[attr-defined]

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - the library's name
        """Read a mail and let the handler store it."""
        if await self.check_helo_needed() or await self.check_auth_needed("DATA"):
            return
        assert self.envelope is not None
        assert self.session is not None
        if not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 Error: need RCPT command")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        owner, size = self.session.login_data, self._announced()
        await self._budget.take(owner, size, self._budget_bytes)
        self.is_busy = True
        try:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            content, is_in_step = await self._content()
            self._reset_timeout()
            if content is None:
                most = self._most_bytes / 1_000_000
                status = f"552 5.3.4 the mail is larger than {most:g} MB (smtp_max_mb)"
            else:
                self.envelope.content = content
                status = await self._call_handler_hook("DATA")
        finally:
            self.is_busy = False
            self._budget.give_back(owner, size)
        self._set_post_data_state()  # type: ignore[no-untyped-call]
        await self.push(status)
        if not is_in_step and self.transport is not None:
            self.transport.close()

    def _announced(self) -> int:
        """Return the size that MAIL announced, else the largest."""
        assert self.envelope is not None
        for option in self.envelope.mail_options:
            name, _, value = option.partition("=")
            if name.upper() == "SIZE" and value.isdigit():
                return min(int(value) + _PIECE, self._most_bytes)
        return self._most_bytes

    async def _content(self) -> tuple[bytes | None, bool]:
        """Return the octets of a mail, None if there are too many.

        The second value is False if the client has sent more than it may before the answer.
        """
        # As if a line had ended before: a mail may consist of the final dot.
        read, is_too_long = bytearray(b"\r\n"), False
        while True:
            piece = await self._reader.read(_PIECE)
            if not piece:
                raise ConnectionResetError("the client went away in the middle of a mail")
            seen = len(read)
            read += piece
            end = read.find(_END, max(0, seen - len(_END)))
            if end >= 0:
                break
            if len(read) > self._most_bytes + len(_END):
                is_too_long = True
                del read[: -len(_END)]
        is_in_step = end + len(_END) == len(read)
        if is_too_long or end > self._most_bytes:
            return None, is_in_step
        return bytes(read[: end + 2]).replace(b"\r\n.", b"\r\n")[2:], is_in_step


#: Makes the session of a new connection.
NewSession = Callable[[], SubmissionSession]
