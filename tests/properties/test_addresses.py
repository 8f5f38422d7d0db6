"""Addresses: never another error than the documented one, and nothing that breaks a header"""

from __future__ import annotations

from email.headerregistry import Address as ParsedAddress
from email.headerregistry import HeaderRegistry

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mail_proxy.domain.mail import Address, Mail
from mail_proxy.smtp.compose import compose
from mail_proxy.wire.addresses import parse_mailbox, parse_mailboxes

#: Text made of what addresses are made of, so that many examples are nearly right.
ALMOST = st.lists(
    st.sampled_from(
        [
            *'@<>",;:\\()[].-_+ \t\r\n\0é✓',
            "a",
            "b.example",
            "xn--",
            "127.0.0.1",
            "a@b.example",
            "<a@b.example>",
        ]
    ),
    max_size=30,
).map("".join)
NAMES = st.text(max_size=60).filter(lambda text: not {*"\r\n\0"} & {*text})
LOCAL = st.from_regex(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\.[a-z0-9_+-]{1,20})?", fullmatch=True)
DOMAIN = st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9]{1,10}){0,3}\.[a-z]{2,6}", fullmatch=True)
HEADERS = HeaderRegistry()


@given(st.text() | ALMOST)
@example("<>")
@example('"')
@example("a@" + "b" * 300)
@example("\ud800@example.org")
@example("a@xn--zzzzzzzzz")
@example("a@[")
@example("a@[IPv6:::1]")
@example("@".join("abc"))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        found = parse_mailbox(text)
    except ValueError as error:
        assert str(error)
        assert len(str(error)) < 500
        return
    assert not {*"\r\n\0<>"} & {*found.email}
    assert not {*"\r\n\0"} & {*found.name}
    assert found.email.rpartition("@")[2].isascii()
    assert len(found.email.encode()) <= 254


@given(st.lists(st.text() | ALMOST, max_size=5) | st.text() | ALMOST)
def test_any_list_is_addresses_or_a_value_error(value: list[str] | str) -> None:
    try:
        found = parse_mailboxes(value)
    except ValueError:
        return
    assert all(isinstance(address, Address) for address in found)


@given(NAMES, LOCAL, DOMAIN)
def test_an_address_with_a_quoted_name_is_read_back_as_it_was(
    name: str, local: str, domain: str
) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_mailbox(f'"{quoted}" <{local}@{domain}>') == Address(name, f"{local}@{domain}")


@given(st.lists(st.tuples(LOCAL, DOMAIN), min_size=1, max_size=5))
def test_a_list_with_commas_is_the_same_as_a_list(pairs: list[tuple[str, str]]) -> None:
    addresses = [f"{local}@{domain}" for local, domain in pairs]
    assert parse_mailboxes(", ".join(addresses)) == parse_mailboxes(addresses)


@given(ALMOST)
def test_what_is_accepted_the_email_package_reads_in_the_same_way(text: str) -> None:
    try:
        accepted = parse_mailbox(text)
    except ValueError:
        return
    mail = Mail(
        sender=accepted,
        to=(accepted,),
        cc=(),
        bcc=(),
        subject="",
        body="",
        content_type="plain",
        message_id="<a@b.example>",
    )
    try:
        composed = compose(mail, tracking_id="1", date=0)
    except ValueError as error:
        pytest.fail(f"accepted at intake and refused at delivery: {accepted!r}: {error}")
    head = composed.data.split(b"\r\n\r\n")[0].decode()
    lines = head.replace("\r\n ", " ").split("\r\n")
    (field,) = [line.partition(": ")[2] for line in lines if line.startswith("From: ")]
    (found,) = HEADERS("From", field).addresses
    assert isinstance(found, ParsedAddress)
    if accepted.email.isascii() and "[" not in accepted.email:
        assert found.addr_spec == accepted.email
