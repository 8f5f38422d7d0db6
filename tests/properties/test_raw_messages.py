"""Any raw message is sent as it is, and read as Python's parser reads it."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from dataclasses import replace
from email.utils import getaddresses
from typing import Any

from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st
from tests.harness.dkim_mails import raw
from tests.harness.raw_messages import encoded

from mail_proxy.operations.composing import raw_form
from mail_proxy.sql.messages.mail_codec import StoredMail, dump_head, load_mail
from mail_proxy.wire.address_list import addresses_in
from mail_proxy.wire.base64_text import decode_base64
from mail_proxy.wire.encoded_words import decoded_words
from mail_proxy.wire.new_messages import WrongMessage
from mail_proxy.wire.new_raw_messages import RawMessageIn
from mail_proxy.wire.raw_message import (
    TAKEN_OUT,
    RawMessage,
    WrongRaw,
    raw_body,
    read_raw,
    scan_raw,
)

_MOST = 1_000_000
_NAMES = st.sampled_from(
    [
        *(b"Bcc", b"bCC", b"Return-Path", b"Resent-Bcc", b"X-Bcc", b"Date", b"Message-ID"),
        *(b"Received", b"Subject", b"MIME-Version", b"X-Genro-Mail-ID", b"List-Id", b"X-" * 40),
    ]
)
_WORDS = st.sampled_from(
    [
        *(b"a", b"b c", b"", b" ", b"\t", b"<m@example.org>", "é".encode(), b":", b"bcc: z"),
        *(b"=?utf-8?q?=C3=BC?=", b"x" * 1100, b"\xff", b"\x1b", b"\0"),
    ]
)
_VALUES = st.lists(st.lists(_WORDS, max_size=3).map(b"".join), min_size=1, max_size=3)
_LINE_ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r"])
_FIELDS = st.tuples(_NAMES, _VALUES, _LINE_ENDS).map(
    lambda field: field[0] + b":" + (field[2] + b" ").join(field[1]) + field[2]
)
_BODIES = st.lists(
    st.sampled_from([b"text", b"\xff\xfe", b".", b"", b"x" * 2000, b"--b", b"Bcc: no"])
    | _LINE_ENDS,
    max_size=20,
).map(b"".join)
_MESSAGES = st.builds(
    lambda fields, end, body: b"From: Ann <ann@example.org>\r\n" + b"".join(fields) + end + body,
    st.lists(_FIELDS, max_size=6),
    st.sampled_from([b"\r\n", b"\n", b"\r", b""]),
    _BODIES,
)
_SIZES = st.integers(1, 50) | st.just(100_000)


def _read(octets: bytes, size: int) -> RawMessage:
    return read_raw(_cut(octets, size))


def _cut(octets: bytes, size: int) -> Iterator[bytes]:
    return (octets[at : at + size] for at in range(0, len(octets), size))


def _crlf(octets: bytes) -> bytes:
    lines = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return (lines if lines.endswith(b"\n") else lines + b"\n").replace(b"\n", b"\r\n")


@settings(deadline=None)  # pieces of one octet
@example(b"From: a@b\r\nBcc: x\r\n\ty\r\n z\r\nBcc:\r\n\r\nBcc: b", 3)
@given(_MESSAGES | raw, _SIZES)
def test_only_line_ends_and_hidden_fields_change(octets: bytes, size: int) -> None:
    try:
        read = _read(octets, size)
    except WrongRaw:
        event("refused")
        assume(False)
    whole = b"".join(field.octets for field in read.fields) + b"".join(read.body)
    assert whole == _crlf(octets)
    shown = [field.octets for field in read.fields if field.name not in TAKEN_OUT]
    assert read.head == b"".join(shown)
    assert b"".join(read.body).startswith(b"\r\n")
    assert read.needs_smtputf8 is (not read.head.isascii())
    scanned, body_size = scan_raw(_cut(octets, size))
    assert scanned == replace(read, body=())
    assert b"".join(raw_body(_cut(octets, size))) == b"".join(read.body)
    assert body_size == len(b"".join(read.body))
    parsed = email.message_from_bytes(read.head + b"".join(read.body))
    names = [name.lower() for name in parsed.keys()]  # noqa: SIM118
    assert names == [field.name for field in read.fields if field.name not in TAKEN_OUT]
    assert not TAKEN_OUT.intersection(names)


@given(_MESSAGES | raw, _SIZES, _SIZES)
def test_how_a_message_is_cut_changes_nothing(octets: bytes, one: int, other: int) -> None:
    results: list[Any] = []
    for size in (one, other):
        try:
            read = _read(octets, size)
            results.append((read.head, b"".join(read.body), read.fields, read.is_8bit))
        except WrongRaw as error:
            results.append(str(error))
    assert results[0] == results[1]


@given(_MESSAGES, st.sampled_from(["m1", "ü 1", "x" * 200]))
def test_what_is_stored_is_what_is_sent(octets: bytes, id_: str) -> None:
    message = RawMessageIn.model_validate({"id": id_, "raw": encoded(octets), "to": "b@c"})
    try:
        read = message.message(_MOST)
        mail = message.mail(read, "pk")
    except WrongMessage:
        assume(False)
    text = raw_form(mail, read, id_)
    assert text.isascii()
    stored = StoredMail(text)
    assert stored.mail() == mail
    assert (stored.recipients, stored.envelope_sender) == (mail.recipients, mail.envelope_sender)
    head = dump_head(mail, text)
    assert head is None or load_mail(head) == mail
    assert stored.raw is not None
    behind = b"".join(stored.raw.pieces())
    assert stored.raw.size == len(behind)
    sent = stored.raw.begin(b"Date: x\r\n") + behind
    rest = b"".join(read.body)
    assert sent.startswith(read.head)
    assert sent.endswith(rest)
    lines = sent[len(read.head) : len(sent) - len(rest)]
    fields = email.message_from_bytes(sent)
    assert len(fields.get_all("Date", [])) == len(fields.get_all("Message-ID", [])) == 1
    assert len(fields.get_all("X-Genro-Mail-ID", [])) >= 1
    assert lines.count(b"Date: x\r\n") == (read.text("date") is None)
    assert stored.raw.is_8bit is (read.is_8bit)


@given(st.binary(max_size=2000), st.sampled_from([0, 1, 4, 19, 76]))
def test_base64_is_decoded(octets: bytes, width: int) -> None:
    text = encoded(octets)
    if width:
        text = "\r\n".join(text[at : at + width] for at in range(0, len(text), width))
    assert b"".join(decode_base64(text)) == octets


@given(st.text(st.sampled_from("AQYz=+/-_ \r\n:é\0"), max_size=12))
def test_wrong_base64_is_a_value_error(text: str) -> None:
    try:
        b"".join(decode_base64(text))
    except ValueError as error:
        assert str(error).startswith("is not base64")


_LOCAL = st.sampled_from(["a", "first.last", "a+b", '"a b"', '"x\\"y"', "x_y"])
_DOMAIN = st.sampled_from(["example.org", "b", "sub.example.net"])
_SPECS = st.tuples(_LOCAL, _DOMAIN).map("@".join)
_PHRASES = st.sampled_from(["", "Ann ", '"Ann, B." ', "Ann B C ", "=?utf-8?q?J=C3=BC?= ", '"" '])
_MAILBOXES = st.tuples(_PHRASES, _SPECS).map(lambda pair: f"{pair[0]}<{pair[1]}>") | _SPECS
_GROUPS = st.tuples(
    st.sampled_from(["Friends", '"a; b"', "A b"]), st.lists(_MAILBOXES, max_size=3)
).map(lambda pair: f"{pair[0]}: {', '.join(pair[1])};")
_LISTS = st.lists(_MAILBOXES | _GROUPS, min_size=1, max_size=5)


@given(_LISTS, st.sampled_from([", ", ",", " ,\t", ",,"]))
def test_addresses_are_those_that_the_library_finds(parts: list[str], comma: str) -> None:
    text = comma.join(parts)
    found = [(address.name, address.email) for address in addresses_in(text)]
    expected = [(decoded_words(name), address) for name, address in getaddresses([text]) if address]
    assert [address for _, address in found] == [address for _, address in expected]
    assert [name for name, _ in found] == [name for name, _ in expected]


@given(st.text(st.sampled_from('ab@.,:;<>()"\\[] \té=?'), max_size=25))
def test_no_address_list_breaks_the_reader(text: str) -> None:
    try:
        for address in addresses_in(text):
            assert address.email.count("@") >= 1
    except ValueError as error:
        assert str(error)


@given(st.text(max_size=40) | st.text(st.sampled_from("=?utf-8qbQB ?_=C3ü\ud800\0"), max_size=40))
def test_decoded_words_can_be_stored(text: str) -> None:
    found = decoded_words(text)
    found.encode()
    assert not any(ord(character) < 32 for character in found)
