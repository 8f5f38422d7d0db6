"""Parses mutated mails of the corpus: bounces, complaints, automatic answers and PEC receipts.

    python -m tests.fuzz.bounces --mails 50000

No mail may raise an exception, exceed a bound of the result, or take much longer than the mails of
the corpus do. The mails that make other mails, such as ten thousand nested parts, are among them.
The exit code is 1 if one fails; it is written to ``--save`` then.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from pathlib import Path

from tests.harness.corpus import BOUNCES, RECEIPTS
from tests.harness.hostile_mails import MAILS

from mail_proxy.inbound.bounces.info import BounceInfo, BounceKind
from mail_proxy.inbound.bounces.parser import BounceParser
from mail_proxy.inbound.pec.receipt import PecReceiptInfo, PecReceiptParser

_MOST_TEXT = 1_000
_MOST_RECIPIENTS = 2_000
#: Times the slowest mail of the corpus, for each piece of this size in a mail.
_MOST_TIMES_SLOWER = 80
_PIECE_OCTETS = 20_000
#: All that code raises by mistake.
_EXCEPTIONS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_TOKENS = [
    *(b"\r", b"\n", b"\r\n", b"\n\n", b"\0", b"\x1b$B", b"\xff", b"=", b"=?utf-8?b?", b"?=", b"--"),
    *(b"<", b">", b"@", b":", b";", b'"', b"&lt;", b"<!ENTITY a 'b'>", b"]]>", b"550 5.1.1 "),
    *(b"Content-Type: multipart/mixed; boundary=x\n", b"Content-Type: message/rfc822\n\n"),
    *(
        b"Content-Transfer-Encoding: base64\n",
        b"charset=punycode",
        b"charset=utf-16",
        b"charset=idna",
    ),
    *(
        b"Final-Recipient: rfc822;",
        b"Action: delayed\n",
        b"X-Ricevuta: accettazione\n",
        b"x" * 3_000,
    ),
]


class Mutator:
    """Makes a mail from those of the corpus, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._mails = [mail.read_bytes() for mail in [*BOUNCES, *RECEIPTS]]
        self._hostile = list(MAILS.values())

    def mail(self) -> bytes:
        chance = self._random
        if chance.random() < 0.002:
            return chance.choice(self._hostile)(chance.choice([100, 5_000, 60_000]))
        mail = chance.choice(self._mails)
        for _ in range(chance.choice([1, 1, 2, 4, 16])):
            mail = self._mutated(mail)
        return mail

    def _mutated(self, mail: bytes) -> bytes:
        chance = self._random
        begin = chance.randint(0, len(mail))
        end = min(len(mail), begin + chance.choice([1, 1, 4, 40, 400, 4_000]))
        kind = chance.randrange(7)
        if kind == 0:
            return mail[:begin] + mail[end:]
        if kind == 1:
            return mail[:begin] + mail[begin:end] * chance.choice([2, 2, 50]) + mail[end:]
        if kind == 2:
            return mail[:begin] + chance.choice(_TOKENS) + mail[begin:]
        if kind == 3:
            return mail[:begin] + chance.randbytes(min(end - begin, 8)) + mail[end:]
        if kind == 4:
            other = chance.choice(self._mails)
            return mail[:begin] + other[chance.randint(0, len(other)) :]
        if kind == 5:
            line, other = mail.split(b"\n"), chance.choice(self._mails).split(b"\n")
            line[chance.randrange(len(line))] = chance.choice(other)
            return b"\n".join(line)
        return mail.replace(b"\n", chance.choice([b"\r", b"\r\n", b"\n\n"]))


def faults(info: BounceInfo, receipt: PecReceiptInfo) -> list[str]:
    """Bounds of a result that are exceeded."""
    texts = [info.message_id, info.tracking_id, info.envelope_id, *info.delivered_to]
    texts += [text for one in info.recipients for text in (one.address, one.code, one.reason)]
    texts += [receipt.message_id, receipt.identifier, receipt.provider, receipt.error_reason]
    wrong = [f"long text: {text[:80]!r}" for text in texts if text and len(text) > _MOST_TEXT]
    wrong += [f"line break: {text!r}" for text in texts if text and ("\n" in text or "\r" in text)]
    if max(len(info.recipients), len(receipt.recipients)) > _MOST_RECIPIENTS:
        wrong.append("too many recipients")
    if info.kind in (BounceKind.BOUNCE, BounceKind.DELAYED):
        wrong += [
            f"no type or category: {r}" for r in info.recipients if not (r.type and r.category)
        ]
    if any(not recipient.address for recipient in info.recipients):
        wrong.append("an empty address")
    return wrong


def run(mails: int, seed: int, save: Path | None) -> int:
    """Parse mutated mails; return how many failed."""
    mutator = Mutator(seed)
    bounces, receipts = BounceParser(), PecReceiptParser()
    allowed = _MOST_TIMES_SLOWER * max(_seconds(bounces, mail.read_bytes()) for mail in BOUNCES)
    failed, slowest = 0, 0.0
    for number in range(mails):
        mail = mutator.mail()
        begin = time.thread_time()
        try:
            wrong = faults(bounces.parse(mail), receipts.parse(mail))
        except _EXCEPTIONS:
            wrong = [traceback.format_exc()]
        seconds = time.thread_time() - begin
        slowest = max(slowest, seconds)
        if seconds > allowed * (1 + len(mail) // _PIECE_OCTETS):
            wrong.append(f"{seconds:.2f} s for {len(mail)} octets")
        if wrong:
            failed += 1
            print(f"mail {number}: " + "\n    ".join(wrong), file=sys.stderr)
            if save:
                save.write_bytes(mail)
    print(f"slowest mail: {slowest * 1000:.0f} ms")
    return failed


def _seconds(parser: BounceParser, mail: bytes) -> float:
    parser.parse(mail)
    begin = time.thread_time()
    parser.parse(mail)
    return time.thread_time() - begin


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.bounces",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mails", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=Path, help="file for the last mail that failed")
    chosen = parser.parse_args()
    started = time.monotonic()
    failed = run(chosen.mails, chosen.seed, chosen.save)
    print(f"{chosen.mails} mails, {time.monotonic() - started:.0f} s, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
