"""Random and mutated answers of an SMTP server, on real connections of the real client.

    python -m tests.fuzz.smtp --seconds 600 --seed 7

Each mail must have an outcome, no exception may leave the client, a mail counts as sent only if the
server has received all of it, and memory must not grow. Exit code 1 if one of these is broken.

A mutation may add a reply that answers no command. The client cannot know that: it takes the reply
for the one that it waits for. So a burst whose server said more replies than it had commands is not
checked for mails that were not received.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import resource
import sys
import time
from collections import Counter, deque
from contextlib import suppress
from pathlib import Path

from mail_proxy.domain.account import SmtpLogin, TlsMode
from mail_proxy.domain.outcome import Outcome, Sent
from mail_proxy.smtp.burst import Timeouts
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.connection import Connector
from mail_proxy.smtp.envelope import Envelope, Withdrawn
from mail_proxy.smtp.pool import SMTPPool
from mail_proxy.smtp.sender import SmtpSender

_MOST_GROWTH_BYTES = 50_000_000
_WARM_UP = 100
_MAILS = 4
_AT_ONCE = 50
_TIMEOUTS = Timeouts(open=0.3, command=0.2, end_of_data=0.2, send=2)
_END = b"\r\n.\r\n"
_EHLO = b"250-fuzz\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 SIZE 1000000\r\n"
_TOKENS = (
    *(b"250 ok\r\n", b"250-", b"354 go\r\n", b"421 4.3.2 bye\r\n", b"450 4.2.1 busy\r\n", b"\r\n"),
    *(b"550-no\r\n550 5.1.1 user\r\n", b"999 x\r\n", b"2", b"25", b"250", b"\n", b"\r", b"\0"),
    *(b"250-STARTTLS\r\n", b"250-AUTH PLAIN LOGIN\r\n", b"334 \r\n", b"235 ok\r\n", b"\xff\xfe"),
    *(b"250 SIZE " + b"9" * 400 + b"\r\n", b"250-LIMITS MAILMAX=0 RCPTMAX=-1\r\n", b"x" * 5000),
    *(b"250-x\r\n" * 200, b"220 2.0.0 \x1b[2J\xc2\x9b\r\n", b"250 " + b"y" * 600 + b"\r\n"),
)


#: Last line of a reply.
_REPLY = re.compile(rb"^[2-5]\d\d(?: [^\n]*)?\n", re.MULTILINE)


class Server:
    """Mail server of one burst that answers properly, except where its answers are mutated.

    ``has_extra_replies`` is True if it said more replies than it had commands.
    """

    def __init__(self, seed: random.Random) -> None:
        self._random = seed
        self._said: dict[asyncio.StreamWriter, tuple[int, bytes]] = {}
        self.received: set[bytes] = set()
        self.has_extra_replies = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Talk with one client until either side has enough."""
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, EOFError):
            await self._say(writer, b"220 fuzz ESMTP\r\n")
            while line := await reader.readline():
                await self._say(writer, await self._answer(line.upper(), reader, writer))
                if line.upper().startswith(b"QUIT"):
                    break
        writer.transport.abort()

    async def _answer(
        self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes:
        if line.startswith(b"EHLO"):
            return _EHLO
        if line.startswith(b"BDAT"):
            self._take(await reader.readexactly(int(line.split()[1])))
        if line.startswith(b"DATA"):
            await self._say(writer, b"354 go\r\n")
            self._take(await reader.readuntil(_END))
        return b"221 bye\r\n" if line.startswith(b"QUIT") else b"250 2.0.0 ok\r\n"

    def _take(self, data: bytes) -> None:
        self.received.add(data.split(b"\r\n")[0].removeprefix(b"Subject: "))

    async def _say(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        rate = self._random.choice((0.0, 0.0, 0.0, 0.1, 0.7))
        while self._random.random() < rate:
            answer = self._mutated(answer)
        count, before = self._said.get(writer, (0, b""))
        self._said[writer] = (count + 1, before + answer)
        self.has_extra_replies |= len(_REPLY.findall(before + answer)) > count + 1
        size = self._random.choice((len(answer) + 1, 1, 7))
        for at in range(0, min(len(answer), 100 * size), size):
            writer.write(answer[at : at + size])
            await writer.drain()
        if self._random.random() < rate / 10:
            raise EOFError

    def _mutated(self, data: bytes) -> bytes:
        at = self._random.randrange(len(data) + 1)
        match self._random.randrange(5):
            case 0:
                return data[:at]
            case 1:
                return (
                    data[:at] + self._random.randbytes(self._random.choice((1, 4, 200))) + data[at:]
                )
            case 2:
                return data[:at] + data[at + self._random.randrange(1, 8) :]
            case 3:
                return data + self._random.choice(_TOKENS)
            case _:
                return data[:at] + self._random.choice(_TOKENS) + data[at:]


class Mails:
    """A burst of mails with names of their own, and their outcomes."""

    def __init__(self, number: int) -> None:
        names = [b"%d-%d" % (number, each) for each in range(_MAILS)]
        self._waiting = deque(_envelope(name) for name in names)
        self.outcomes: dict[bytes, Outcome | Withdrawn] = {}

    @property
    def unsent(self) -> int:
        """Mails that the burst has not begun."""
        return len(self._waiting)

    def next(self) -> Envelope | None:
        return self._waiting.popleft() if self._waiting else None

    def may_begin(self, envelope: Envelope) -> bool:
        return True

    def done(self, envelope: Envelope, outcome: Outcome | Withdrawn) -> None:
        name = envelope.message.data.split(b"\r\n")[0].removeprefix(b"Subject: ")
        assert name not in self.outcomes, f"{name!r} has two outcomes"
        self.outcomes[name] = outcome


def _envelope(name: bytes) -> Envelope:
    data = b"Subject: %b\r\n\r\n.text\r\n" % name
    recipients = ("ann@example.org", "bob@example.org")
    return Envelope("shop@example.com", recipients, ComposedMail(data, False, False))


def _login(port: int, number: int) -> SmtpLogin:
    return SmtpLogin(
        account_pk=str(number),
        version=1,
        host="127.0.0.1",
        port=port,
        user="user" if number % 4 == 0 else None,
        password="secret" if number % 4 == 0 else None,
        tls=TlsMode.STARTTLS if number % 10 == 0 else TlsMode.AUTO,
        verify_cert=False,
        ttl_seconds=300.0,
        batch_size=100,
        max_connections=1,
        private_allowed=True,
    )


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def _carry(server: Server, mails: Mails, number: int) -> None:
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        pool = SMTPPool(Connector(_TIMEOUTS, local_hostname="client.example"))
        await SmtpSender(pool).send_burst(_login(port, number), mails)
        await pool.close_all()
    assert len(mails.outcomes) + mails.unsent == _MAILS, "a mail has no outcome"


async def run(seconds: float, seed: int) -> int:
    """Fuzz, and return the exit code."""
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    false: list[bytes] = []
    end, number, checked, before = time.monotonic() + seconds, 0, 0, 0
    while time.monotonic() < end or number <= _WARM_UP:
        bursts = [(Server(chance), Mails(number + each)) for each in range(_AT_ONCE)]
        await asyncio.gather(*(_carry(*burst, number + n) for n, burst in enumerate(bursts)))
        number += _AT_ONCE
        for server, mails in bursts:
            outcomes.update(type(each).__name__ for each in mails.outcomes.values())
            sent = [name for name, each in mails.outcomes.items() if isinstance(each, Sent)]
            if not server.has_extra_replies:
                checked += len(sent)
                false += [name for name in sent if name not in server.received]
        if number == _WARM_UP:
            before = _resident_bytes()
    grown = _resident_bytes() - before
    print(f"seed {seed}: {number} bursts; {dict(outcomes)}; {grown / 1e6:.1f} MB grown")
    print(f"{checked} sent mails were looked for on their server")
    if false:
        print(f"sent, but not received: {false[:10]}")
    return 1 if false or grown > _MOST_GROWTH_BYTES or not checked else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    sys.exit(asyncio.run(run(arguments.seconds, arguments.seed)))


if __name__ == "__main__":
    main()
