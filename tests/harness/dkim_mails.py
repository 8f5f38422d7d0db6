"""DKIM keys for tests, mails with odd fields and bodies, and dkimpy as the verifier."""

from __future__ import annotations

from functools import cache

import dkim
from hypothesis import strategies as st

from mail_proxy.domain.dkim import record_name
from mail_proxy.domain.mail import Address, Mail
from mail_proxy.features.dkim.canonical import hash_body
from mail_proxy.features.dkim.keys import (
    make_private_key,
    record_value,
    signing_key,
)
from mail_proxy.features.dkim.signature import SigningKey, signature_fields
from mail_proxy.smtp.compose import compose

DOMAIN = "example.org"
SIGNED_AT = 1_600_000_000


@cache
def private_keys() -> dict[str, str]:
    """A PEM text for each selector: ``rsa`` and ``ed``."""
    return {"rsa": make_private_key("rsa-sha256"), "ed": make_private_key("ed25519-sha256")}


@cache
def both_keys() -> tuple[SigningKey, ...]:
    return tuple(signing_key(DOMAIN, selector, pem) for selector, pem in private_keys().items())


def dns_answer(name: bytes, timeout: float = 5) -> bytes:
    """Stands for the DNS."""
    records = {
        record_name(DOMAIN, selector): record_value(pem) for selector, pem in private_keys().items()
    }
    return records.get(name.decode().rstrip("."), "").encode()


def sign(data: bytes, *chosen: SigningKey, chunk: int = 65_536) -> bytes:
    """Return a whole message with a signature of each key (by default all) in front of it."""
    head, _, body = data.partition(b"\r\n\r\n")
    hashed = hash_body(body[i : i + chunk] for i in range(0, len(body), chunk))
    return signature_fields(head + b"\r\n", hashed, chosen or both_keys(), SIGNED_AT) + data


def count_valid(message: bytes, signatures: int) -> int:
    """How many of the first signatures dkimpy accepts."""
    parsed = dkim.DKIM(message)
    return sum(bool(parsed.verify(idx=i, dnsfunc=dns_answer)) for i in range(signatures))


_PIECES = st.sampled_from(
    [
        "",
        " ",
        "  ",
        "\t",
        "a",
        "b c",
        "é",
        "漢字",
        ".",
        "=",
        "From x",
        "x" * 70,
        "\x0b",
        "--",
        "; b=",
    ]
)
_TEXT = st.lists(_PIECES, max_size=12).map("".join)
_LINE_ENDS = st.sampled_from(["\r\n", "\r\n", "\n", "\r", "\r\n\r\n\r\n", " \r\n", "\t\n", ""])
_BODIES = st.lists(st.tuples(_TEXT, _LINE_ENDS), max_size=12).map(
    lambda lines: "".join(text + end for text, end in lines)
)
_ADDRESSES = st.builds(Address, _TEXT, st.sampled_from([f"a@{DOMAIN}", f"first.last@{DOMAIN}"]))
_LISTS = st.lists(_ADDRESSES, max_size=6).map(tuple)
#: Fields with a grammar of their own have a value that fits it.
_HEADERS = st.sampled_from(
    [
        ("List-Unsubscribe", f"<https://{DOMAIN}/u?a=b>, <mailto:leave@{DOMAIN}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("List-Id", f"Übungen <list.{DOMAIN}>"),
        ("LIST-Help", f"<mailto:help@{DOMAIN}>"),
    ]
) | st.tuples(st.sampled_from(["X-Other", "list-x;y"]), _TEXT)
_MAILS = st.builds(
    Mail,
    sender=_ADDRESSES,
    to=_LISTS,
    cc=_LISTS,
    bcc=st.just(()),
    reply_to=_LISTS,
    subject=_TEXT,
    body=_BODIES,
    content_type=st.sampled_from(["plain", "html"]),
    message_id=st.just(f"<1@{DOMAIN}>"),
    body_html=st.none() | _BODIES,
    headers=st.lists(_HEADERS, max_size=5).map(tuple),
)
#: As this program writes them.
composed = _MAILS.map(lambda mail: compose(mail, tracking_id="t", date=SIGNED_AT).data)

_OCTETS = st.sampled_from([b"a", b"b c", b" ", b"\t", b" \t ", b"\xc3\xa9", b"\xff", b"x" * 70])
_RUN = st.lists(_OCTETS, max_size=6).map(b"".join)
_FOLDS = st.lists(_RUN, max_size=4).map(b"\r\n\t ".join)
_RAW_NAMES = st.sampled_from(
    [b"From", b"To", b"subject", b"Subject", b"CC", b"Date", b"Received", b"List-Id", b"From"]
)
_RAW_FIELDS = st.tuples(_RAW_NAMES, st.sampled_from([b":", b": ", b":\t"]), _FOLDS)
_RAW_BODIES = st.lists(_RUN | st.just(b""), max_size=12).map(
    lambda lines: b"".join(line + b"\r\n" for line in lines)
)
#: As other programs may write them: strange spaces and folds, fields that come twice.
raw = st.builds(
    lambda fields, body: (
        b"From: a@example.org\r\n"
        + b"".join(name + colon + value + b"\r\n" for name, colon, value in fields)
        + b"\r\n"
        + body
    ),
    st.lists(_RAW_FIELDS, max_size=8),
    _RAW_BODIES,
)
mails = composed | raw
