"""What is composed means, to the standard library's parser, exactly what went in."""

from __future__ import annotations

import email
import email.policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from typing import cast

from hypothesis import example, given
from hypothesis import strategies as st
from tests.fuzz.compose import Generator, differences, run

from mail_proxy.domain.mail import Address, Mail
from mail_proxy.smtp.compose import ComposedMail, compose

TRICKY = [
    "=?utf-8?q?x?=",
    "=?utf-8?b?eA==?=",
    "=?",
    "?=",
    '"',
    "\\",
    ",",
    "(",
    ")",
    "<",
    ">",
    "@",
    ";",
    ":",
    ".",
    "..",
    " ",
    "  ",
    "_",
    "=",
    "\t",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x7f",
    "\x85",
    "\u00a0",
    "\u2028",
    "\u200f",
    "é",
    "e\u0301",
    "ß",
    "漢字",
    "שלום",
    "🇮🇹👩‍🚀",
    "From ",
    "word",
    "longer words",
]
HEADER_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\r\n\0")


def header_texts(max_size: int) -> st.SearchStrategy[str]:
    pieces = st.lists(st.sampled_from(TRICKY), max_size=40).map("".join)
    return st.one_of(st.text(HEADER_CHARACTERS, max_size=max_size), pieces)


bodies = st.one_of(
    st.text(st.characters(codec="utf-8")),
    st.lists(
        st.sampled_from([*TRICKY, "\r", "\n", "\r\n", "\n.\n", "\r\n.\r\n", "\0", "x" * 995]),
        max_size=60,
    ).map("".join),
)
addr_specs = st.sampled_from(
    ["a@example.com", "first.last+tag@sub.example.org", '"odd local"@example.net', "x@[127.0.0.1]"]
)
addresses = st.builds(Address, header_texts(200), addr_specs)
address_lists = st.lists(addresses, max_size=5).map(tuple)
field_names = st.from_regex(r"X-[A-Za-z0-9!#$%&'*+_-]{1,60}", fullmatch=True)
mails = st.builds(
    Mail,
    sender=addresses,
    to=address_lists,
    cc=address_lists,
    bcc=address_lists,
    subject=header_texts(300),
    body=bodies,
    content_type=st.sampled_from(["plain", "html"]),
    message_id=st.just("<1.2@example.com>"),
    body_html=st.none() | bodies,
    reply_to=address_lists,
    headers=st.lists(st.tuples(field_names, header_texts(300)), max_size=3).map(tuple),
)


def parse(data: bytes) -> EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.default)


def decoded(data: bytes, name: str) -> list[str]:
    """The fields ``name``, unfolded and decoded as RFC 2047 has it."""
    parsed = email.message_from_bytes(data, policy=email.policy.compat32)
    return [
        str(make_header(decode_header(str(value).replace("\r\n", ""))))
        for value in parsed.get_all(name, [])
    ]


def lines_of(body: str) -> str:
    text = body.replace("\r\n", "\n").replace("\r", "\n")
    return text + "\n" if text and not text.endswith("\n") else text


def content(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.count(b"\r") == payload.count(b"\n") == payload.count(b"\r\n")
    return payload.decode().replace("\r\n", "\n")


@given(mails, st.floats(0, 4e9))
def test_every_field_and_body_survives(mail: Mail, date: float) -> None:
    data = compose(mail, tracking_id="t1", date=date).data
    message = parse(data)
    for name, expected in (("From", (mail.sender,)), ("To", mail.to), ("Cc", mail.cc)):
        assert addresses_of(message, name) == [address.email for address in expected]
    assert addresses_of(message, "Reply-To") == [address.email for address in mail.reply_to]
    assert "Bcc" not in message
    assert message["Subject"] == mail.subject
    assert message["Date"].datetime.timestamp() == int(date)
    assert message["Message-ID"] == mail.message_id
    extra = [(k, str(v)) for k, v in message.items() if k in dict(mail.headers)]
    assert extra == list(mail.headers)
    parts = [message] if mail.body_html is None else list(message.iter_parts())
    bodies = [mail.body] if mail.body_html is None else [mail.body, mail.body_html]
    assert [content(cast(EmailMessage, part)) for part in parts] == [lines_of(b) for b in bodies]
    assert message.defects == []


def addresses_of(message: EmailMessage, name: str) -> list[str]:
    return [a.addr_spec for a in message[name].addresses] if name in message else []


@given(header_texts(60))
@example("=?utf-8?q?x?=")
@example('Doe, "Jane" (Dr.) \\')
def test_display_names_survive(name: str) -> None:
    data = compose(plain(sender=Address(name, "a@b.example")), tracking_id="t", date=0).data
    parsed = parse(data)["From"].addresses[0].display_name
    words = data.split(b"\r\nTo:")[0].count(b"=?utf-8?")
    if words == 0:
        assert parsed == ("" if name.isspace() else name)
    else:
        assert decoded(data, "From") == [f"{name} <a@b.example>"]
    if words == 1:
        # Two faults of the standard library's address parser, and not of its other decoder: it
        # puts a blank between adjacent encoded words, against RFC 2047 section 6.2, and takes
        # white space inside them for folding.
        assert parsed.split() == name.split()


@given(st.text(HEADER_CHARACTERS, min_size=1, max_size=255))
@example("a  b" * 60)
@example("=?utf-8?q?x?=")
def test_tracking_id_survives(tracking_id: str) -> None:
    data = compose(plain(), tracking_id=tracking_id, date=0).data
    assert decoded(data, "X-Genro-Mail-ID") == [tracking_id]
    assert parse(data)["X-Genro-Mail-ID"] == tracking_id


@given(mails)
def test_octets_are_fit_for_smtp(mail: Mail) -> None:
    composed = compose(mail, tracking_id="t", date=0)
    assert not composed.is_8bit
    assert not composed.needs_smtputf8
    assert composed.data.isascii()
    assert composed.data.endswith(b"\r\n")
    assert b"\0" not in composed.data
    lines = composed.data.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in lines)
    assert max(map(len, lines)) <= 998
    head = composed.data.split(b"\r\n\r\n")[0].split(b"\r\n")
    assert all(line.strip() for line in head)


@given(st.text(HEADER_CHARACTERS), st.sampled_from("\r\n\0"), st.text(HEADER_CHARACTERS))
def test_no_text_leaves_its_header(before: str, breaker: str, after: str) -> None:
    text = before + breaker + after
    for mail, name in (
        (plain(subject=text), "Subject"),
        (plain(sender=Address(text, "a@b.example")), "From"),
        (plain(sender=Address("", text)), "From"),
        (plain(message_id=text), "Message-ID"),
        (plain(headers=(("X-Extra", text),)), "X-Extra"),
    ):
        assert refused_header(mail, "t") == name
    assert refused_header(plain(), text) == "X-Genro-Mail-ID"


def refused_header(mail: Mail, tracking_id: str) -> str | None:
    try:
        compose(mail, tracking_id=tracking_id, date=0)
    except ValueError as error:
        return str(error).removeprefix("header ").split(":")[0]
    return None


def plain(
    *,
    sender: Address = Address("", "a@b.example"),  # noqa: B008 - immutable
    subject: str = "s",
    message_id: str = "<1@b.example>",
    headers: tuple[tuple[str, str], ...] = (),
) -> Mail:
    to = (Address("", "c@d.example"),)
    return Mail(sender, to, (), (), subject, "body", "plain", message_id, headers=headers)


def test_random_mails_come_back_as_they_were_meant() -> None:
    """``python -m tests.fuzz.compose`` does the same with 100 000."""
    assert run(300, seed=7)["ours"] == 0


def test_the_comparison_finds_damage() -> None:
    mail = Generator(seed=7).mail()
    data = compose(mail, tracking_id="order 1/é", date=0).data
    assert differences(mail, ComposedMail(data, False, False)) == []
    for damaged in (
        data.replace(b"\r\n", b"\n", 1),
        data.replace(b"From: ", b"From: x"),
        data.replace(b"Subject: ", b"Subject: =?utf-8?q?x?= "),
        data.replace(b"\r\n\r\n", b"\r\n\r\nmore\r\n", 2),
        data.replace(b"MIME-Version: 1.0", b"MIME-Version: 1.0\r\nBcc: a@b.example"),
        data.replace(b"MIME-Version: 1.0", b"MIME-Version: 1.0" + b" x" * 40),
    ):
        assert differences(mail, ComposedMail(damaged, False, False)) != []
