"""An SMTP server without a socket, for the state machine of a session.

It speaks after the log-in. What it does at each stage is scripted as for ``ScriptedSmtpServer``,
and it keeps the mails that it said 250 to: that is the truth which outcomes are held against.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mail_proxy.domain.outcome import Outcome
from mail_proxy.smtp.burst import BurstRun, Timeouts
from mail_proxy.smtp.capabilities import Capabilities
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.envelope import Envelope, Withdrawn
from mail_proxy.smtp.session import SmtpSession
from mail_proxy.testing.smtp_server import Act, Script

FROM = "shop@example.com"
_ADDRESS = re.compile(rb"<([^>]*)>")


def envelope(name: str, *recipients: str) -> Envelope:
    data = b"Subject: %b\r\n\r\n.text\r\n" % name.encode()
    return Envelope(FROM, recipients or ("ann@example.org",), ComposedMail(data, False, False))


def name_of(mail: Envelope) -> str:
    return _name(mail.message.data)


def _name(data: bytes) -> str:
    return data.split(b"\r\n")[0].removeprefix(b"Subject: ").decode()


@dataclass
class MemoryServer:
    """Takes bytes and gives bytes; ``script`` says what to answer at a stage."""

    script: Callable[[str, str], Script | None] = lambda stage, text: None
    accepted: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    packets: list[bytes] = field(default_factory=list)
    is_mute: bool = False
    is_ended: bool = False
    _input: bytes = b""
    _output: bytes = b""
    _has_mail: bool = False
    _recipients: list[str] = field(default_factory=list)
    _in_data: bool = False

    def exchange(self, data: bytes) -> bytes:
        """Take bytes of the client, and return the answer; ``is_ended``: that was the last."""
        self.packets.append(data)
        self._input += data
        while not self.is_ended:
            if self._in_data:
                body, dot, rest = self._input.partition(b"\r\n.\r\n")
                if not dot:
                    break
                self._input, self._in_data = rest, False
                self._end_of_data(body)
            else:
                line, end, rest = self._input.partition(b"\r\n")
                if not end:
                    break
                self._input = rest
                self._command(line)
        output, self._output = self._output, b""
        return output

    def _command(self, line: bytes) -> None:
        verb = line[:4].decode("latin-1")
        self.commands.append(verb)
        match verb:
            case "MAIL":
                reply = "503 nested MAIL" if self._has_mail else "250 2.1.0 ok"
                self._has_mail |= self._answer(verb, reply)
            case "RCPT":
                match = _ADDRESS.search(line)
                address = match[1].decode() if match else ""
                default = "250 2.1.5 ok" if self._has_mail else "503 MAIL first"
                if self._answer(verb, default, address) and self._has_mail:
                    self._recipients.append(address)
            case "DATA":
                default = "354 go ahead" if self._recipients else "554 5.5.1 no valid recipients"
                self._in_data = self._answer(verb, default, accepting=("3",))
            case "BDAT":
                size = int(line.split()[1])
                body, self._input = self._input[:size], self._input[size:]
                default = "250 2.0.0 queued" if self._recipients else "503 no recipients"
                self._taken(body, self._answer("end of data", default))
            case "RSET":
                self._forget()
                self._answer(verb, "250 2.0.0 ok")
            case _:
                self._answer(verb, "500 5.5.1 unknown command")

    def _end_of_data(self, body: bytes) -> None:
        self._taken(body, self._answer("end of data", "250 2.0.0 queued", _name(body)))

    def _taken(self, body: bytes, is_taken: bool) -> None:
        if is_taken and self._recipients:
            self.accepted.append((_name(body), tuple(self._recipients)))
        self._forget()

    def _forget(self) -> None:
        self._has_mail = False
        self._recipients = []

    def _answer(
        self, stage: str, default: str, text: str = "", accepting: Sequence[str] = ("2",)
    ) -> bool:
        script = self.script(stage, text)
        reply: Script = default if script is None else script
        act: Act | None = None
        if isinstance(reply, tuple):
            reply, act = reply
        elif isinstance(reply, Act):
            reply, act = b"", reply
        if isinstance(reply, str):
            reply = reply.encode() + b"\r\n"
        if not self.is_mute:
            self._output += reply
        self.is_mute |= act is Act.SILENCE
        self.is_ended |= act is Act.DROP
        return reply[:1].decode("latin-1") in accepting and not self.is_mute


class Mails:
    """A burst of given mails, and what became of them."""

    def __init__(self, mails: Sequence[Envelope]) -> None:
        self.waiting = deque(mails)
        self.outcomes: dict[str, Outcome | Withdrawn] = {}
        self.is_open = True

    def next(self) -> Envelope | None:
        return self.waiting.popleft() if self.waiting and self.is_open else None

    def may_begin(self, envelope: Envelope) -> bool:
        return self.is_open

    def done(self, envelope: Envelope, outcome: Outcome | Withdrawn) -> None:
        name = name_of(envelope)
        assert name not in self.outcomes, f"{name} was reported twice"
        self.outcomes[name] = outcome


class Line:
    """A session and its server, without a transport between them."""

    def __init__(
        self,
        server: MemoryServer | None = None,
        *,
        capabilities: Capabilities | None = None,
        cut: Callable[[bytes], Sequence[bytes]] = lambda data: [data],
    ) -> None:
        """``cut`` splits what the server says into the pieces in which it arrives."""
        self.server = server or MemoryServer()
        self.session = SmtpSession(lambda: 0.0)
        self.session.capabilities = capabilities or Capabilities(pipelining=True)
        self.session.most_recipients = self.session.capabilities.most_recipients
        self._cut = cut

    def run(self, mails: Mails, returned: Sequence[Envelope] = ()) -> BurstRun:
        """Carry a burst to its end."""
        run = BurstRun(
            self.session,
            mails,
            Timeouts(),
            self.session.capabilities,
            may_go_on=lambda: True,
        )
        run.start(returned)
        self.converse(run)
        return run

    def converse(self, run: BurstRun) -> None:
        session = self.session
        while not run.is_done and session.broken is None:
            output = session.take_output()
            if run.is_sending:
                run.send_more()
            answer = self.server.exchange(output)
            for piece in self._cut(answer):
                if session.broken is None:
                    session.receive(piece)
            if self.server.is_ended:
                session.lose("the server closed the connection")
            elif not answer and not run.is_sending and not session._output:
                session.lose("timed out waiting for the server")
