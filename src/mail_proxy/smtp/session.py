"""One SMTP session as a state machine: server bytes in, bytes to write out.

It knows neither sockets nor coroutines. ``SmtpProtocol`` connects it to a transport.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Protocol

from mail_proxy.smtp.capabilities import Capabilities
from mail_proxy.smtp.redact import Redact
from mail_proxy.smtp.replies import Reply, one_line
from mail_proxy.smtp.reply_reader import ReplyReader


class ReplyHandler(Protocol):
    """The part of the dialogue that is under way, which takes the replies in order."""

    def receive(self, reply: Reply) -> None: ...

    def set_deadline(self) -> None:
        """Set the session's deadline: all replies that are there have been taken."""

    def lose(self, reason: str, *, is_written: bool) -> None:
        """Take note that the session is broken.

        ``is_written``: all output had been handed to the transport.
        """


class SmtpSession:
    """SMTP session that matches replies to commands, and bounds the server's output.

    Any number of commands may be written ahead of their replies, which arrive in order (RFC
    2920). A reply that nothing asked for breaks the session: RFC 5321 section 3.8 has a server
    say 421 before it hangs up, and nothing else. ``broken`` is the reason, and is for good.

    After each call the caller writes ``take_output()``. At ``deadline``, an instant of
    ``time``, it calls ``lose``. ``transactions`` counts mails, ``most_recipients`` is how many
    recipients a transaction may have, as far as is known.
    """

    def __init__(self, time: Callable[[], float], redact: Redact = str) -> None:
        """``redact`` removes the account's secrets from the server's words."""
        self.broken: str | None = None
        self.deadline = inf
        self.time = time
        self.handler: ReplyHandler | None = None
        self.capabilities = Capabilities()
        self.transactions = 0
        self.most_recipients: int | None = None
        self._reader = ReplyReader(redact)
        self._output: list[bytes] = []
        #: Replies owed to written commands, and to those that still wait in ``_output``.
        self._owed = 0
        self._owed_soon = 0
        self._on_reply: Callable[[Reply], None] | None = None

    @property
    def is_between_replies(self) -> bool:
        """True if no unexpected reply, nor a part of one, has arrived."""
        return self._reader.is_between_replies

    def take_output(self) -> bytes:
        """Return the octets to write. They count as written from here on."""
        output = self._output
        if not output:
            return b""
        self._owed += self._owed_soon
        self._owed_soon = 0
        self._output = []
        return output[0] if len(output) == 1 else b"".join(output)

    def send(self, data: bytes, replies: int) -> None:
        """Add to the output; ``replies`` will answer it."""
        self._output.append(data)
        self._owed_soon += replies

    def ask(self, command: bytes, seconds: float, on_reply: Callable[[Reply], None]) -> None:
        """Send one command, and have its reply handed to ``on_reply``.

        An empty command waits for the greeting. If the session is lost, nothing is called.
        """
        self._on_reply = on_reply
        self.deadline = self.time() + seconds
        if command:
            self.send(command, 1)
        else:
            self._owed += 1

    def receive(self, data: bytes) -> None:
        """Take bytes from the server."""
        handler = self.handler
        for reply in self._reader.feed(data):
            # What comes with the reply before it cannot answer what that reply gave rise to.
            if not self._owed:
                self.lose(f"the server said unasked: {reply}")
                return
            self._owed -= 1
            if self._on_reply is not None:
                self._answered(reply)
            elif handler is not None:
                handler.receive(reply)
            if self.broken is not None:
                return
        if self._reader.fault is not None:
            self.lose(self._reader.fault)
        elif handler is not None and self._on_reply is None:
            handler.set_deadline()

    def lose(self, reason: str) -> None:
        """Take note that the connection is of no more use."""
        if self.broken is not None:
            return
        self.broken = one_line(reason)
        self.deadline = inf
        self._on_reply = None
        is_written = not self._output
        self._output = []
        handler, self.handler = self.handler, None
        if handler is not None:
            handler.lose(self.broken, is_written=is_written)

    def _answered(self, reply: Reply) -> None:
        on_reply, self._on_reply = self._on_reply, None
        self.deadline = inf
        assert on_reply is not None
        on_reply(reply)
