"""Composes random mails, parses them back with the ``email`` package, and compares.

    python -m tests.fuzz.compose --messages 100000

Every mail must come back as it was meant, in octets that any SMTP server takes. The same mail
written by the ``email`` package itself is parsed back too, for one mail in ten: how often it
refuses, or differs from what was meant, is shown for comparison. The exit code is 1 when our
writing differs.
"""

from __future__ import annotations

import argparse
import email
import email.errors
import email.policy
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.utils import getaddresses
from typing import Any, Literal, cast

from mail_proxy.domain.mail import Address, Mail
from mail_proxy.smtp.compose import ComposedMail, compose

_TRACKING_ID = "order 1/é"
_DATE = 1_700_000_000
_SHOWN_DIFFERENCES = 5
_LIBRARY_EVERY = 10
_TEXT = [
    *(
        "word",
        "longer words ",
        "Ordine n. 7",
        ".",
        "..",
        "From ",
        "=",
        "=20",
        "=?utf-8?q?x?=",
        "=?",
    ),
    *(" ", "  ", "\t", '"', "\\", ",", "(", ")", "<", ">", "@", ";", ":", "_", "?=", "'", "%s"),
    *("è", "ß", "e\u0301", "\u00a0", "\u2028", "\u200f", "\x85", "\x0b", "\x0c", "\x1c", "\x7f"),
    *("漢字", "שלום", "кофе ", "🇮🇹", "👩‍🚀", "\ufeff", "\U0010fffd"),
    *("x" * 75, "x" * 200, "é" * 60, "a b " * 30),
]
_LINES = ["\r", "\n", "\r\n", "\n\r", "\n.\n", "\r\n.\r\n", "\n..", "\n--=_", "\nFrom x", "\n\n"]
_LONG = ["x" * 990, "x" * 991, "x" * 998, "x" * 5000, "word " * 300, "è" * 999, "." * 1200, "\0"]
_ADDRESSES = [
    *("a@example.com", "first.last+tag@sub.example.org", '"odd local"@example.net'),
    *("x@[127.0.0.1]", "l" * 64 + "@" + "d" * 60 + ".example.com"),
]
_UTF8_ADDRESS = "josé@example.org"
_FIELD_NAMES = ["X-Note", "X-List", "X-" + "n" * 60, "X!#$%&'*+_`|~", "Organization"]


class Generator:
    """Mails of every kind that intake lets through, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def mail(self) -> Mail:
        chance = self._random
        kind: Literal["plain", "html"] = chance.choice(["plain", "plain", "html"])
        return Mail(
            sender=self._address(),
            to=self._addresses(),
            cc=self._addresses(),
            bcc=self._addresses(),
            subject=self._header_text(),
            body=self._body(),
            content_type=kind,
            message_id=f"<{chance.getrandbits(128):032x}@example.com>",
            body_html=self._body() if kind == "plain" and chance.random() < 0.3 else None,
            reply_to=self._addresses(),
            headers=tuple(
                (name, self._header_text())
                for name in chance.sample(_FIELD_NAMES, chance.choice([0, 0, 1, 3]))
            ),
        )

    def _address(self) -> Address:
        is_utf8 = self._random.random() < 0.005
        where = _UTF8_ADDRESS if is_utf8 else self._random.choice(_ADDRESSES)
        return Address(self._header_text(), where)

    def _addresses(self) -> tuple[Address, ...]:
        return tuple(self._address() for _ in range(self._random.choice([0, 0, 1, 1, 2, 9])))

    def _header_text(self) -> str:
        return self._text(_TEXT, self._random.choice([0, 1, 2, 3, 8, 30]))

    def _body(self) -> str:
        chance = self._random
        pieces = chance.choice([0, 1, 5, 40, 40, 400])
        text = self._text([*_TEXT, *_LINES * 3], pieces)
        if chance.random() < 0.2:
            text += self._text(_LONG, 3)
        if chance.random() < 0.001:
            text *= 1 + 1_000_000 // (len(text) + 1)
        return text

    def _text(self, pieces: list[str], count: int) -> str:
        chance = self._random
        style = chance.random()
        if style < 0.4:
            return " ".join(chance.choices(["plain", "Words", "of", "7bit,", "text."], k=count))
        if style < 0.5:
            points = [chance.randint(32, 0x10FFFF) for _ in range(count)]
            return "".join([chr(p) for p in points if not 0xD800 <= p < 0xE000])
        return "".join(chance.choices(pieces, k=count))


def differences(mail: Mail, composed: ComposedMail) -> list[str]:
    """What is wrong with ``composed``: in its octets, or compared with what ``mail`` means."""
    meant, read = meaning(mail), read_back(composed.data)
    wrong = [
        f"{name}: {meant[name]!r} became {read[name]!r}"
        for name in meant
        if meant[name] != read[name]
    ]
    return [*_unfit_octets(composed), *wrong]


def _unfit_octets(composed: ComposedMail) -> Iterator[str]:
    data = composed.data
    lines = data.split(b"\r\n")
    if lines.pop():
        yield "the last line has no end"
    if any(b"\r" in line or b"\n" in line for line in lines):
        yield "bare CR or LF"
    if b"\0" in data:
        yield "NUL"
    if max(map(len, lines)) > 998:
        yield "a line of more than 998 octets"
    if data.isascii() is composed.is_8bit or (composed.is_8bit and not composed.needs_smtputf8):
        yield "8-bit octets that the envelope does not declare"
    for line in data.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        if not line.strip():
            yield "a blank line in the header"
        name, colon, value = line.partition(b": ")
        foldable = value if colon and b" " not in name else line
        if len(line.decode()) > 78 and b" " in foldable.strip():
            yield f"a line that could be folded: {line[:200]!r}"


def meaning(mail: Mail) -> dict[str, Any]:
    """What a reader should find, by field."""
    lists = {"From": (mail.sender,), "To": mail.to, "Cc": mail.cc, "Reply-To": mail.reply_to}
    bodies = [(mail.content_type, _lines(mail.body))]
    if mail.body_html is not None:
        bodies.append(("html", _lines(mail.body_html)))
    return {
        **{name: [_pair(address) for address in found] for name, found in lists.items()},
        "Subject": [mail.subject],
        "Message-ID": [mail.message_id],
        "X-Genro-Mail-ID": [_TRACKING_ID],
        "Bcc": [],
        "extra": list(mail.headers),
        "bodies": bodies,
        "defects": [],
    }


def _pair(address: Address) -> tuple[str, str]:
    return (address.name if address.name.strip(" \t") else "", address.email)


def _lines(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text + "\n" if text and not text.endswith("\n") else text


def read_back(data: bytes) -> dict[str, Any]:
    """The same fields as the ``email`` package reads them."""
    message = email.message_from_string(data.decode())
    payload = message.get_payload()
    parts = cast("list[Message]", payload) if message.is_multipart() else [message]
    fields = [(name, str(value).replace("\r\n", "")) for name, value in message.items()]
    return {
        **{
            name: [
                (_decoded(display), address)
                for display, address in getaddresses([v for n, v in fields if n == name])
                if address != "undisclosed-recipients:;" and (display or address)
            ]
            for name in ("From", "To", "Cc", "Reply-To")
        },
        **{
            name: [_decoded(value) for key, value in fields if key == name]
            for name in ("Subject", "Message-ID", "X-Genro-Mail-ID", "Bcc")
        },
        "extra": [(name, _decoded(value)) for name, value in fields if name in _FIELD_NAMES],
        "bodies": [(part.get_content_subtype(), _body(part)) for part in parts],
        "defects": [*message.defects, *[d for part in parts for d in part.defects]],
    }


def _decoded(value: str) -> str:
    return str(make_header(decode_header(value))) if "=?" in value else value


def _body(part: Message) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode(errors="replace").replace("\r\n", "\n")


def written_by_the_library(mail: Mail) -> bytes:
    """The same mail as the ``email`` package writes it."""
    message = EmailMessage(policy=email.policy.SMTP.clone(utf8=True))
    for name, addresses in (
        ("From", (mail.sender,)),
        ("To", mail.to),
        ("Cc", mail.cc),
        ("Reply-To", mail.reply_to),
    ):
        if addresses:
            message[name] = [
                email.headerregistry.Address(a.name, addr_spec=a.email) for a in addresses
            ]
    message["Subject"] = mail.subject
    message["Message-ID"] = mail.message_id
    message["X-Genro-Mail-ID"] = _TRACKING_ID
    for name, value in mail.headers:
        message[name] = value
    message.set_content(_lines(mail.body), subtype=mail.content_type)
    if mail.body_html is not None:
        message.add_alternative(_lines(mail.body_html), subtype="html")
    return message.as_bytes()


def run(messages: int, seed: int) -> Counter[str]:
    """``ours``: mails that came back wrong; ``library`` mails were written by the ``email``
    package too, of which some were ``refused`` and some came back ``different``."""
    generator = Generator(seed)
    counts: Counter[str] = Counter()
    for number in range(messages):
        mail = generator.mail()
        wrong = differences(mail, compose(mail, tracking_id=_TRACKING_ID, date=_DATE))
        counts["ours"] += bool(wrong)
        if wrong and counts["ours"] <= _SHOWN_DIFFERENCES:
            print(f"message {number}: " + "\n    ".join(wrong), file=sys.stderr)
        if number % _LIBRARY_EVERY == 0:
            counts["library"] += 1
            counts[_library_result(mail)] += 1
    return counts


def _library_result(mail: Mail) -> str:
    try:
        written = written_by_the_library(mail)
    except (ValueError, email.errors.MessageError):
        return "refused"
    try:
        return "same" if read_back(written) == meaning(mail) else "different"
    except UnicodeDecodeError:
        return "different"  # an encoded word with raw octets beside it


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.compose",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    started = time.monotonic()
    counts = run(chosen.messages, chosen.seed)
    print(f"{chosen.messages} messages, {time.monotonic() - started:.0f} s")
    print(f"came back other than meant: {counts['ours']}")
    print(
        f"the email package, of {counts['library']}: {counts['refused']} refused, "
        f"{counts['different']} came back other than meant"
    )
    return int(counts["ours"] > 0)


if __name__ == "__main__":
    sys.exit(main())
