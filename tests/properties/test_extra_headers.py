"""Structured headers: the email package reads what was meant, in lines that servers take."""

from __future__ import annotations

from email import message_from_string, policy
from email.header import decode_header, make_header
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mail_proxy.domain.header_fields import HEADER_FIELDS, Grammar
from mail_proxy.domain.mail import Address
from mail_proxy.smtp.extra_headers import extra_header
from mail_proxy.wire.addresses import parse_mailbox

WORDS = st.text("aé漢🇮.,;:()<>@[]\"\\=?_ \t-'", max_size=60) | st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=60
)
ADDRESSES = st.sampled_from(["a@b.example", '"odd local"@c.example', "x+y@[127.0.0.1]"])
MAILBOXES = st.lists(st.tuples(WORDS, ADDRESSES), min_size=1, max_size=6)
IDS = st.lists(st.from_regex(r"<[!-;=?A-Za-z=~]{1,90}@[a-z=?.]{1,90}>", fullmatch=True), min_size=1)
URIS = st.lists(st.from_regex(r"<[a-z]{2,9}:[!-;=?A-Za-z=~]{1,200}>", fullmatch=True), min_size=1)


def of(*grammars: Grammar) -> list[str]:
    return sorted(name for name, field in HEADER_FIELDS.items() if field.grammar in grammars)


def unfolded(header: str) -> str:
    return header.partition(": ")[2].replace("\r\n", "")


def read(header: str) -> Any:
    return next(iter(message_from_string(f"{header}\r\n\r\n", policy=policy.default).values()))


def quoted(name: str, email: str) -> str:
    text = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}" <{email}>'


@given(st.sampled_from(["Reply-To", "Resent-To", "Resent-Cc"]), MAILBOXES)
def test_addresses_are_never_encoded_and_their_order_stays(
    name: str, mailboxes: list[tuple[str, str]]
) -> None:
    header = extra_header(name, ", ".join(quoted(*mailbox) for mailbox in mailboxes))
    assert [a.addr_spec for a in read(header).addresses] == [email for _, email in mailboxes]
    assert header.isascii()
    assert max(map(len, header.split("\r\n"))) <= 998


@given(WORDS, ADDRESSES)
def test_a_name_is_restored(name: str, email: str) -> None:
    meant = parse_mailbox(quoted(name, email)).name
    text = unfolded(extra_header("Sender", quoted(name, email)))
    words = text.removesuffix(f"<{email}>").removesuffix(email).strip()
    if "=?" in words:
        assert str(make_header(decode_header(words))).split() == meant.split()
    else:
        assert parse_mailbox(text).name.strip() == meant.strip(" \t")


@given(st.sampled_from(of(Grammar.MESSAGE_IDS)), IDS)
@example("references", ["<=?utf-8?q?x?=@b>"])
def test_message_ids_stay_as_they_are(name: str, ids: list[str]) -> None:
    assert unfolded(extra_header(name, "  ".join(ids))) == " ".join(ids)


@given(st.sampled_from(of(Grammar.URIS)), URIS)
def test_uris_stay_as_they_are(name: str, uris: list[str]) -> None:
    header = extra_header(name, ",".join(uris))
    assert unfolded(header) == ", ".join(uris)
    assert all(line.endswith((">", ">,")) for line in header.split("\r\n"))


@given(WORDS)
def test_only_the_phrase_of_a_list_id_is_encoded(name: str) -> None:
    text = unfolded(extra_header("List-Id", quoted(name, "list.example.org")))
    assert text.isascii()
    assert text.endswith("<list.example.org>")


@given(st.sampled_from(sorted(HEADER_FIELDS)), WORDS)
def test_any_value_is_written_in_ascii_or_refused(name: str, value: str) -> None:
    try:
        header = extra_header(name, value)
    except ValueError as error:
        assert str(error).startswith(f"header {name}: ")
        return
    is_address = HEADER_FIELDS[name].grammar in (Grammar.MAILBOX, Grammar.MAILBOXES)
    assert header.isascii() or is_address  # its local part may be non-ASCII (RFC 6532)
    assert all(line.strip() and len(line) <= 998 for line in header.split("\r\n"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('"John" Smith', "John Smith"),
        ('"Anna Maria" "Rossi"', "Anna Maria Rossi"),
        ('"Doe, Jane" (Sales)', "Doe, Jane"),
        ('Bob "The Builder" Smith', "Bob The Builder Smith"),
        ("Jane (Sales (EU\\)))", "Jane (Sales (EU\\)))"),
        ("Jane (Sales)", "Jane"),
        ('"a \\"b\\" <c>" d', 'a "b" <c> d'),
        ('12" vinyl', '12" vinyl'),
        ("smile :(", "smile :("),
        ("", ""),
    ],
)
def test_the_words_of_a_name(text: str, name: str) -> None:
    assert parse_mailbox(f"{text} <a@b.example>") == Address(name, "a@b.example")
