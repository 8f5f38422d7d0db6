"""What a mail costs between the connection pool and an SMTP server, on uvloop.

    python -m benchmarks.transactions
    python -m benchmarks.transactions --size 60000 --delays 0,5

Two ways, as the server offers them: the envelope ahead of the replies (PIPELINING), and all in
one packet (CHUNKING too). ``CPU`` is that of this process, per mail; with a delay it is left out,
because what makes the delay runs here as well. A delay is added in each direction.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from tests.harness.faulty_path import FaultyPath
from tests.harness.processes import Children
from tests.harness.sinks import RecordingSink

from mail_proxy.domain.account import SmtpLogin, TlsMode
from mail_proxy.domain.mail import Address, Mail
from mail_proxy.domain.outcome import Outcome, Sent
from mail_proxy.smtp.compose import ComposedMail, compose
from mail_proxy.smtp.envelope import Envelope, Withdrawn
from mail_proxy.smtp.pool import SMTPPool
from mail_proxy.smtp.sender import SmtpSender

_WAYS: dict[str, tuple[str, ...]] = {"PIPELINING": (), "and CHUNKING": ("CHUNKING",)}
_FROM, _TO = "shop@example.com", "ann@example.org"
_LINE = "Sixty-four characters of text, as they stand in many a message.\n"


def _message(octets: int) -> ComposedMail:
    mail = Mail(
        sender=Address("Shop", _FROM),
        to=(Address("Ann Smith", _TO),),
        cc=(),
        bcc=(),
        subject="Your order number 17",
        body=_LINE * (octets // len(_LINE)),
        content_type="plain",
        message_id="<017f22e279b07cc398c4dc0c0c07398f@example.com>",
    )
    return compose(mail, tracking_id="order-17", date=1_700_000_000)


class _Mails:
    """A burst of the same mail again and again."""

    def __init__(self, mail: ComposedMail, count: int) -> None:
        self.left = count
        self._mail = mail

    def next(self) -> Envelope | None:
        if not self.left:
            return None
        self.left -= 1
        return Envelope(_FROM, [_TO], self._mail)

    def may_begin(self, envelope: Envelope) -> bool:
        return True

    def done(self, envelope: Envelope, outcome: Outcome | Withdrawn) -> None:
        assert isinstance(outcome, Sent), outcome


async def _send(
    port: int, messages: int, connections: int, mail: ComposedMail
) -> tuple[float, float]:
    """Mails a second and microseconds of CPU; a tenth more, before that, is warm-up."""
    login = SmtpLogin(
        *("account", 1, "127.0.0.1", port, None, None, TlsMode.NONE, True),
        ttl_seconds=3600,
        batch_size=messages * 2,
        max_connections=connections,
    )
    pool = SMTPPool()
    sender = SmtpSender(pool)

    async def work(share: int) -> None:
        burst = _Mails(mail, share)
        while burst.left:
            await sender.send_burst(login, burst)

    async def all_work(count: int) -> None:
        await asyncio.gather(*[work(count // connections) for _ in range(connections)])

    await all_work(messages // 10)
    started, cpu = time.perf_counter(), time.process_time()
    await all_work(messages)
    elapsed, used = time.perf_counter() - started, time.process_time() - cpu
    await pool.close_all()
    return messages / elapsed, used / messages * 1e6


def _measure(way: str, delay_ms: float, chosen: argparse.Namespace) -> None:
    with ExitStack() as stack:
        children = Children()
        stack.callback(children.close)
        output = Path(stack.enter_context(TemporaryDirectory())) / "arrivals"
        sink = stack.enter_context(RecordingSink(children, output, *_WAYS[way]))
        port = sink.port
        if delay_ms:
            port = stack.enter_context(FaultyPath(port, delay_ms / 1000)).port
        speed, cpu = uvloop.run(
            _send(port, chosen.messages, chosen.connections, _message(chosen.size))
        )
    shown = "" if delay_ms else f"{cpu:8.1f} us CPU"
    print(f"{way:14} {delay_ms:5g} ms {speed:10,.0f} mails/s {shown}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transactions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=10)
    parser.add_argument("--size", type=int, default=2048, help="octets of the body (2048)")
    parser.add_argument("--delays", default="0,1,5", help="milliseconds, with commas (0,1,5)")
    parser.add_argument("--repeat", type=int, default=2)
    chosen = parser.parse_args()
    for delay in map(float, chosen.delays.split(",")):
        for _ in range(chosen.repeat):
            for way in _WAYS:
                _measure(way, delay, chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
