"""Connects the state machine of a session to a transport."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from math import inf
from typing import cast

from mail_proxy.smtp.burst import BurstRun
from mail_proxy.smtp.envelope import Envelope
from mail_proxy.smtp.redact import Redact
from mail_proxy.smtp.replies import Reply
from mail_proxy.smtp.session import SmtpSession

#: ``loop.time()`` may be coarser than the timer that it serves.
_CLOCK_SLACK_SECONDS = 0.002
_TIMED_OUT = "timed out waiting for the server"


class BrokenConnectionError(ConnectionError):
    """Broken connection: lost, silent for too long, or with replies that are not SMTP."""


class SmtpProtocol(asyncio.Protocol):
    """Adapter from a transport to an ``SmtpSession``, with one timer for all waits.

    At most one caller at a time waits in ``ask`` or ``carry``.
    """

    def __init__(self, redact: Redact = str) -> None:
        """``redact`` removes the account's secrets from the server's words."""
        self._loop = asyncio.get_running_loop()
        self.session = SmtpSession(self._loop.time, redact)
        self.has_agreed_to_quit = False
        self.transport: asyncio.Transport | None = None
        self._run: BurstRun | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._is_quitting = False
        self._paused = False
        self._greeting: list[Reply] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf

    async def greeting(self, seconds: float) -> Reply:
        """Return the reply with which the server opens the session.

        Raises ``BrokenConnectionError`` if it does not come within ``seconds``.
        """
        if not self._greeting and self.session.broken is None:
            self.session.deadline = self._loop.time() + seconds
            self._watch()
        return await self._first(self._greeting)

    async def ask(self, command: bytes, seconds: float) -> Reply:
        """Send one command and return its reply, as ``greeting`` does."""
        replies: list[Reply] = []
        if self.session.broken is None:
            self.session.ask(command, seconds, replies.append)
            self._flush()
        return await self._first(replies)

    async def start_tls(self, context: ssl.SSLContext, host: str, timeout: float) -> None:
        """Go on encrypted. Raises ``OSError`` if that fails."""
        assert self.transport is not None
        if not self.session.is_between_replies:
            # Octets that an attacker sends in clear text must not pass for encrypted ones.
            self._lose("the server spoke on after its answer to STARTTLS")
        if self.session.broken is not None:
            # A handshake on a closed transport would never end.
            raise BrokenConnectionError(self.session.broken)
        transport = await self._loop.start_tls(
            self.transport,
            self,
            context,
            server_hostname=host,
            ssl_handshake_timeout=timeout,
        )
        if transport is None:
            raise BrokenConnectionError(self.session.broken or "closed")
        self.transport = transport

    async def carry(self, run: BurstRun, returned: Sequence[Envelope] = ()) -> None:
        """Run a burst to its end. Cancelled, or failing, it ends the session."""
        self._run = run
        is_whole = False
        try:
            run.start(returned)
            self._flush()
            await self._wait(lambda: run.is_done)
            is_whole = True
        finally:
            self._run = None
            if not is_whole:
                run.break_off("broken off by the proxy")
                self.abort()

    async def wait_closed(self) -> None:
        """Wait until the transport is closed by either side."""
        await asyncio.shield(self._closed)

    def hang_up(self, timeout: float) -> None:
        """Say QUIT; close when the server agrees, or after ``timeout`` seconds."""
        if self.session.broken is None and self.transport is not None:
            self._is_quitting = True
            self.session.lose("closed")
            self.transport.write(b"QUIT\r\n")
            self._stop_timer()
            if not self._closed.done():
                self._timer = self._loop.call_later(timeout, self.transport.abort)

    def abort(self) -> None:
        """Close at once; what has not been sent yet is dropped."""
        self._lose("closed")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        self.session.ask(b"", inf, self._greeting.append)

    def data_received(self, data: bytes) -> None:
        if self._is_quitting:
            # Nothing but the answer to QUIT matters any more.
            self.has_agreed_to_quit = data.startswith(b"221")
            self._close_transport()
            return
        is_whole = False
        try:
            self.session.receive(data)
            is_whole = True
        finally:
            if not is_whole:
                self._lose("internal error")
        self._flush()

    def eof_received(self) -> bool:
        self._lose("the server closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(f"connection lost: {exc}" if exc else "the server closed the connection")
        self._stop_timer()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send_more()

    def _send_more(self) -> None:
        run = self._run
        if run is None or not run.is_sending or self._paused:
            return
        if run.has_more(self._send_more):
            run.send_more()
            self._flush()

    def _flush(self) -> None:
        """Act on what the session has come to."""
        if self.session.broken is not None:
            self._close_transport(at_once=True)
            self._wake()
            return
        output = self.session.take_output()
        if output:
            assert self.transport is not None
            self.transport.write(output)
        run = self._run
        if run is not None:
            if run.is_done:
                self._wake()
            elif run.is_sending and not self._paused and run.has_more(self._send_more):
                # In the next turn, so that a refusal or the end of the connection is noticed.
                self._loop.call_soon(self._send_more)
        elif self.session.deadline == inf:
            self._wake()
        self._watch()

    async def _first(self, replies: list[Reply]) -> Reply:
        await self._wait(lambda: bool(replies))
        if not replies:
            raise BrokenConnectionError(self.session.broken or "closed")
        return replies[0]

    async def _wait(self, is_over: Callable[[], bool]) -> None:
        while not is_over() and self.session.broken is None:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _watch(self) -> None:
        """Have the deadline looked at in time.

        One timer serves many waits. It looks at the latest deadline only when it fires, because
        setting and cancelling a timer for every reply would cost more than the reply.
        """
        deadline = self.session.deadline
        if self._timer is not None:
            if deadline >= self._timer_at:
                return
            self._timer.cancel()
            self._timer = None
        if deadline < inf:
            self._timer_at = deadline
            self._timer = self._loop.call_at(deadline, self._time_passed)

    def _time_passed(self) -> None:
        self._timer = None
        if self._loop.time() >= self.session.deadline - _CLOCK_SLACK_SECONDS:
            self._lose(_TIMED_OUT)
        else:
            self._watch()

    def _lose(self, reason: str) -> None:
        self.session.lose(reason)
        if not self._is_quitting:
            self._stop_timer()
            self._close_transport(at_once=True)
        self._wake()

    def _close_transport(self, *, at_once: bool = False) -> None:
        if self.transport is not None:
            if at_once:
                self.transport.abort()
            else:
                self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
