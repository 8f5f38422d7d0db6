"""Replies read from, and commands written to, one open SMTP connection."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import lru_cache
from math import inf

from mail_proxy.smtp.redact import Redact
from mail_proxy.smtp.replies import Reply, one_line

#: RFC 5321 section 4.5.3.1.5 allows a reply line 512 octets and any number of lines.
_MAX_REPLY_OCTETS = 16384
#: Reply lines of up to so many octets are worth remembering: a server repeats itself.
_COMMON_LINE_OCTETS = 128
#: ``loop.time()`` may be coarser than the timer that it serves.
_CLOCK_SLACK_SECONDS = 0.002


class BrokenConnectionError(ConnectionError):
    """The connection is of no more use: lost, silent for too long, or speaking nonsense."""


class SmtpProtocol(asyncio.Protocol):
    """Takes over a transport that aiosmtplib has opened.

    Any number of commands may be written ahead of their replies, which arrive in order
    (RFC 2920). What the server says without having been asked breaks the connection: RFC 5321
    section 3.8 has it say 421 before it hangs up, and nothing else. Broken is for good; the
    reason is in ``broken``.
    """

    def __init__(self, transport: asyncio.Transport, mask: Redact = str) -> None:
        """``mask`` takes out of the server's words what nobody else may see."""
        self.broken: str | None = None
        self.has_agreed_to_quit = False
        self._transport = transport
        self._mask = mask
        self._loop = asyncio.get_running_loop()
        self._replies: deque[Reply] = deque()
        self._awaited = 0
        self._unfinished_line = b""
        self._reply_lines: list[bytes] = []
        self._reply_octets = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._deadline = 0.0
        transport.set_protocol(self)

    def expect(self, replies: int) -> None:
        """So many replies will answer what is written next."""
        self._awaited += replies

    def write(self, data: bytes | memoryview) -> None:
        """Raises ``BrokenConnectionError`` when it is certain that nothing can be sent."""
        if self.broken is not None:
            raise BrokenConnectionError(self.broken)
        self._transport.write(data)

    @property
    def has_reply(self) -> bool:
        return bool(self._replies)

    def time(self) -> float:
        """Of the event loop: the clock of every deadline here."""
        return self._loop.time()

    async def reply(self, seconds: float, deadline: float = inf) -> Reply:
        """The next reply; raises ``BrokenConnectionError`` when none comes within ``seconds`` or
        by ``deadline``. Replies that came before the connection broke are still given."""
        if not self._replies:
            until = min(self._loop.time() + seconds, deadline)
            while not self._replies:
                await self._something_happens(until)
        return self._replies.popleft()

    async def drain(self, deadline: float) -> None:
        """Wait until the transport takes more data, or the server has spoken."""
        # The loop learns that the connection is lost only when it gets a turn.
        await asyncio.sleep(0)
        if self.broken is not None and not self._replies:
            raise BrokenConnectionError(self.broken)
        while self._paused and not self._replies:
            await self._something_happens(deadline)

    async def wait_closed(self) -> None:
        """Until the transport is closed, by whichever side."""
        await asyncio.shield(self._closed)

    def hang_up(self, timeout: float) -> None:
        """QUIT; close when the server agrees, or after ``timeout`` seconds. Does not wait."""
        if self.broken is None:
            self._transport.write(b"QUIT\r\n")
            self._break("closed")
        if self._timer is None and not self._closed.done():
            self._timer = self._loop.call_later(timeout, self._transport.abort)

    def abort(self) -> None:
        """Close at once; what has not been sent yet is dropped."""
        self._break("closed")
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.broken is not None:
            # Nothing but the answer to QUIT matters any more.
            self.has_agreed_to_quit = data.startswith(b"221")
            self._transport.close()
            return
        lines = (self._unfinished_line + data).split(b"\n")
        self._unfinished_line = lines.pop()
        for line in lines:
            self._line_received(line)
            if self.broken is not None:
                return
        if len(self._unfinished_line) > _MAX_REPLY_OCTETS:
            self._give_up("the server sent an endless reply")

    def eof_received(self) -> bool:
        self._break("the server closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(f"connection lost: {exc}" if exc else "the server closed the connection")
        self._stop_timer()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    def _line_received(self, line: bytes) -> None:
        if not self._reply_lines and len(line) <= _COMMON_LINE_OCTETS:
            reply = _one_line_reply(line)
            if reply is not None and self._mask(reply.text) == reply.text:
                self._reply_received(reply)
                return
        code, separator = line[:3], line[3:4]
        if not (code.isdigit() and b"200" <= code < b"600" and separator in b" -\r"):
            self._give_up(f"not an SMTP reply: {self._text([line])}")
            return
        self._reply_octets += len(line)
        self._reply_lines.append(line[4:])
        if self._reply_octets > _MAX_REPLY_OCTETS:
            self._give_up("the server sent an endless reply")
        elif separator != b"-":
            reply = Reply(int(code), self._text(self._reply_lines))
            self._reply_lines = []
            self._reply_octets = 0
            self._reply_received(reply)

    def _reply_received(self, reply: Reply) -> None:
        if not self._awaited:
            self._give_up(f"the server said unasked: {reply}")
            return
        self._awaited -= 1
        self._replies.append(reply)
        self._wake()

    async def _something_happens(self, deadline: float) -> None:
        if self.broken is not None:
            raise BrokenConnectionError(self.broken)
        self._waiter = self._loop.create_future()
        self._deadline = deadline
        if self._timer is None:
            self._set_timer()
        elif deadline < self._timer_at:
            self._timer.cancel()
            self._set_timer()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _set_timer(self) -> None:
        self._timer_at = self._deadline
        self._timer = self._loop.call_at(self._deadline, self._time_passed)

    def _time_passed(self) -> None:
        # One timer serves many waits: it looks at the latest deadline only when it fires,
        # because setting and cancelling a timer for every reply would cost more than the reply.
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() < self._deadline - _CLOCK_SLACK_SECONDS:
            self._set_timer()
        else:
            self._give_up("timed out waiting for the server")

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _give_up(self, reason: str) -> None:
        self._break(reason)
        self._transport.abort()

    def _break(self, reason: str) -> None:
        if self.broken is None:
            self.broken = one_line(reason)
            self._stop_timer()
            self._wake()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _text(self, lines: list[bytes]) -> str:
        words = " ".join([line.decode("utf-8", "replace").strip() for line in lines])
        return one_line(self._mask(words))


@lru_cache(maxsize=256)
def _one_line_reply(line: bytes) -> Reply | None:
    """The reply that ``line`` is, or None if it is a part of one, or nonsense."""
    code = line[:3]
    if code.isdigit() and b"200" <= code < b"600" and line[3:4] == b" ":
        return Reply(int(code), one_line(line[4:].decode("utf-8", "replace").strip()))
    return None
