"""Raw messages: what is taken, what is refused and in which words."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.harness.raw_messages import PLAIN, encoded, multipart_signed, raw_mail

from mail_proxy.sql.messages.raw_text import FIRST_OCTETS
from mail_proxy.wire.address_list import addresses_in
from mail_proxy.wire.base64_text import decode_base64
from mail_proxy.wire.batches import Rejection, parse_batch
from mail_proxy.wire.encoded_words import decoded_words
from mail_proxy.wire.new_messages import MessageIn, RejectionCode, WrongMessage
from mail_proxy.wire.new_raw_messages import RawMessageIn
from mail_proxy.wire.raw_message import LONGEST_HEADER, WrongRaw, read_raw

MOST = 1_000_000


def parsed(record: dict[str, Any]) -> RawMessageIn | MessageIn | Rejection:
    (message,) = parse_batch({"messages": [record]}, 1).messages
    assert isinstance(message, RawMessageIn | MessageIn | Rejection)
    return message


def refusal(octets: bytes = PLAIN, **fields: Any) -> str:
    """Why a raw message is refused; its one wrong field is ``raw``."""
    message = parsed(raw_mail(octets, **fields))
    assert isinstance(message, RawMessageIn)
    with pytest.raises(WrongMessage) as caught:
        message.mail(message.message(MOST), "pk")
    assert {wrong["field"] for wrong in caught.value.wrong} == {"raw"}
    return str(caught.value)


def header(*lines: str) -> bytes:
    return "\r\n".join(["Message-ID: <m@example.org>", *lines, "", "Hello\r\n"]).encode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("YWJ", "is not base64: 1 of the padding (=) at its end are missing"),
        ("YQ", "is not base64: 2 of the padding (=) at its end are missing"),
        ("Y", "is not base64: its last group has a single character; is it cut off?"),
        ("YWJj=", "is not base64: it has more padding (=) than needed"),
        ("YQ==YQ==", "is not base64: text follows the padding (=)"),
        ("From: a@b", "is not base64: ':' at character 5"),
        ("YWJ-", "is not base64: '-' at character 4; use + and / instead of - and _"),
        ("data:text/plain;base64,YWJj", "is not base64: ':' at character 5; give the base64 alone"),
        ("YWJjé", "is not base64: 'é' at character 5"),
        ("YWJj\ud800", "is not base64: U+D800 at character 5"),
        ("YWJj\0", "is not base64: U+0000 at character 5"),
    ],
)
def test_each_mistake_of_base64_is_named(text: str, why: str) -> None:
    for before in ("", "A" * 262_144, "A" * 262_140, "\r\n" + "AAAA" * 100_000):
        with pytest.raises(ValueError, match="is not base64") as caught:
            list(decode_base64(before + text))
        if not before or "at character" not in why:
            assert str(caught.value) == why


def test_blanks_in_base64_are_left_out() -> None:
    octets = bytes(range(256)) * 4000
    text = encoded(octets)
    for width in (76, 61, 4):
        lines = "\r\n".join(text[at : at + width] for at in range(0, len(text), width))
        assert b"".join(decode_base64(f" {lines}\r\n\t")) == octets


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "is empty"),
        (b"\r\n\r\n", "has no header: it begins with an empty line"),
        (b"\nHello", "has no header: it begins with an empty line"),
        (b"Hello", "line 1 is no header field: it has no colon: 'Hello'"),
        (b"A: b\r\nHello\r\n\r\n", "line 2 is no header field: it has no colon: 'Hello'"),
        (b" A: b\r\n\r\n", "line 1 is no header field: it continues a field, and none is before"),
        (
            b"From a@b Fri Nov 27 10:00\nA: b\n\n",
            "line 1 is no header field: it comes from an mbox",
        ),
        (b"A : b\r\n\r\n", "line 1 is no header field: a blank is before the colon"),
        (b"A b: c\r\n\r\n", "line 1 is no header field: a name has only printable ASCII"),
        (b": b\r\n\r\n", "line 1 is no header field: a name has only printable ASCII"),
        (b"From: a@b\r\nTo: c@d\r\n", "has no empty line behind its header"),
        (b"From: a@b\r\nFROM: c@d\r\n\r\n", "has two fields FROM; a message has one"),
        (b"From: a\x1b@b\r\n\r\n", "has the control character 0x1b in line 1"),
        (b"A: b\r\nFrom: \xe9@b\r\n\r\n", "has octets in line 2, in its header, that are neither"),
        (b"From: a@b\r\n\r\na\0b", "has a NUL as octet 15, which no mail server takes"),
        (b"A: b\r\n" * 1001 + b"\r\n", "has more than 1000 fields in its header"),
        (b"A: " + b"b" * LONGEST_HEADER, f"has a header of more than {LONGEST_HEADER} octets"),
        (
            b"A: b\nContent-Transfer-Encoding: Binary\n\n\n",
            "has a part with Content-Transfer-Encoding binary, and line ends that are not CRLF",
        ),
    ],
)
def test_a_broken_message_is_refused_in_words(octets: bytes, why: str) -> None:
    for pieces in ([octets], [octets[at : at + 1] for at in range(min(len(octets), 3000))]):
        if b"".join(pieces) == octets:
            with pytest.raises(WrongRaw) as caught:
                read_raw(pieces)
            assert str(caught.value).startswith(why)
    if len(octets) < MOST:
        assert refusal(octets) == f"raw: {caught.value}"


@pytest.mark.parametrize(
    ("octets", "fields", "why"),
    [
        (header("To: b@c"), {}, "raw: has no From"),
        (header("From:", "To: b@c"), {}, "raw: From: an address is missing"),
        (header("From: <>", "To: b@c"), {}, "raw: From: an address is empty"),
        (header("From: a@b, c@d", "To: b@c"), {}, "raw: From names several addresses"),
        (header("From: a b@c", "To: b@c"), {}, "raw: From: 'a b@c' is not a mail address: it has"),
        (header("From: a@b", "To: c@d; e@f"), {}, "raw: To: ';' is out of place behind 'c@d'; "),
        (header("From: a@b", "To: (c@d"), {}, "raw: To: a comment has no end: '(c@d'"),
        (header("From: a@b", "To: x: c@d"), {}, "raw: To: a group has no end (;)"),
        (header("From: a@b", "To: x <c@d"), {}, "raw: To: 'x c@d' has no closing angle bracket"),
        (header("From: a@b", f"To: {'x' * 999} <c@d>"), {}, "raw: To: 'xxx"),
        (header("From: a@b", "To: c@d", "Resent-To: e@f"), {}, "raw: has Resent-To, so its header"),
        (header("From: a@b", "Resent-From: e@f"), {"to": "c@d"}, "raw: has Resent-From, so its"),
        (header("From: a@b", "To: c@d", f"Subject: {'x' * 4001}"), {}, "raw: Subject: 4001 octets"),
        (b"From: a@b\r\nMessage-ID:\r\n\r\n", {"to": "c@d"}, "raw: Message-ID is empty"),
        (
            b"From: a@b\r\nMessage-ID:" + b"x" * 999 + b"\r\n\r\n",
            {"to": "c@d"},
            "raw: Message-ID: ",
        ),
    ],
)
def test_a_header_without_an_envelope_is_refused(
    octets: bytes, fields: dict[str, Any], why: str
) -> None:
    assert refusal(octets, **fields).startswith(why)


def test_the_number_of_recipients_is_bounded() -> None:
    for octets, fields in (
        (header("From: a@b", "To: undisclosed-recipients:;"), {}),
        (header("From: a@b", "To: c@d"), {"to": []}),
        (header("From: a@b", "To: " + ",".join(f"a{n}@b" for n in range(1001))), {}),
    ):
        message = parsed(raw_mail(octets, **fields))
        assert isinstance(message, RawMessageIn)
        with pytest.raises(
            WrongMessage, match=r"to, cc, bcc: (0|1001) recipients; allowed: 1-1000"
        ):
            message.mail(message.message(MOST), "pk")


def test_a_message_is_bounded() -> None:
    message = parsed(raw_mail(PLAIN + b"x" * 1000))
    assert isinstance(message, RawMessageIn)
    with pytest.raises(WrongMessage) as caught:
        message.message(1000)
    assert caught.value.code is RejectionCode.TOO_LARGE
    assert str(caught.value) == "raw: has more than 1000 octets; allowed: 1000"
    long = parsed({"id": "m1", "raw": "A" * 50_000_001})
    assert isinstance(long, Rejection)
    assert long.code is RejectionCode.TOO_LARGE
    assert long.reason == "raw: more than 50000000 characters; allowed: 50000000"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("subject", ""), ("body", "x"), ("body_html", "x"), ("content_type", "plain")),
        *(("headers", {"X-A": "b"}), ("reply_to", "a@b"), ("message_id", "a@b")),
        ("attachments", [{"filename": "x"}]),
    ],
)
def test_other_parts_are_not_taken_with_raw(name: str, value: Any) -> None:
    found = parsed(raw_mail(**{name: value}))
    assert isinstance(found, Rejection)
    assert found.reason == f"{name}: not together with raw, which is the whole message"
    assert isinstance(parsed(raw_mail(**{name: None})), RawMessageIn)


def test_null_is_no_raw_message() -> None:
    record = {"id": "m1", "from": "a@b", "to": "c@d", "subject": "s"}
    assert isinstance(parsed({**record, "raw": None}), MessageIn)
    none = parsed({"id": "m1", "raw": None})
    assert isinstance(none, Rejection)
    assert none.reason == "from: required; subject: required"


def test_mistyped_fields_are_suggested() -> None:
    wrong = parsed(raw_mail(recipients="a@b", raw=7))
    assert isinstance(wrong, Rejection)
    assert wrong.reason == "raw: must be a text; recipients: unknown field; did you mean to?"


def test_the_header_fits_into_what_is_read_first() -> None:
    assert LONGEST_HEADER + 4 <= FIRST_OCTETS
    assert FIRST_OCTETS % 3 == 0


def test_only_the_listed_fields_change() -> None:
    octets, _ = multipart_signed()
    for size in (1, 2, 7, 100, len(octets)):
        raw = read_raw(octets[at : at + size] for at in range(0, len(octets), size))
        assert raw.head + b"".join(raw.body) == octets


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("=?utf-8?q?J=C3=B6rg?= =?UTF-8*de?b?w7w=?= x", "Jörgü x"),
        ("=?utf-8?b?w7?= =?utf-8?b?vA==?=", "ü"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
        ("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        ("=?none?q?a=20b?=", "a b"),
        ("=?punycode?q?abc-?=", "abc-"),
        ("=?utf-8?q?=00=0D=0A=7F?=x", "    x"),
        ("a =?utf-8?q?b?= c =?x", "a b c =?x"),
        ("plain ü", "plain ü"),
    ],
)
def test_encoded_words_are_decoded(text: str, found: str) -> None:
    assert decoded_words(text) == found


@pytest.mark.parametrize(
    "text",
    [
        *(
            "(" * 250_000,
            '"' * 250_001,
            "<" * 250_000,
            "a," * 125_000,
            "[" * 250_000,
            "\\" * 250_000,
        ),
        *(
            "(\\" * 125_000,
            '"\\' * 125_000,
            "a " * 500,
            "." * 250_000,
            ":" * 250_000,
            "()" * 125_000,
        ),
    ],
)
def test_no_address_list_takes_long(text: str) -> None:
    def seconds(part: str) -> float:
        begun = time.thread_time()
        try:
            for _ in zip(range(1001), addresses_in(part), strict=False):
                pass
        except ValueError:
            pass
        return time.thread_time() - begun

    seconds(text[:1000])
    assert seconds(text) < 1 + 20 * min(seconds(text[: len(text) // 8]) for _ in range(3))


@pytest.mark.parametrize("unit", ["=?", "=?a?q?", "=?a?q?x?= ", "?= ", "=?a?b?", "=?a?q?=4"])
def test_no_subject_takes_long(unit: str) -> None:
    begun = time.thread_time()
    decoded_words(unit * (LONGEST_HEADER // len(unit)))
    assert time.thread_time() - begun < 2
