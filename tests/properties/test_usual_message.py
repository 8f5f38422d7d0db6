"""A usual message is stored exactly as its full reading would store it."""

from __future__ import annotations

from typing import Any

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from mail_proxy.domain.mail import Mail
from mail_proxy.operations.composing import check_headers, stored_form, usual_form
from mail_proxy.sql.messages.mail_codec import dump_head
from mail_proxy.wire.message_bounds import beyond_bounds
from mail_proxy.wire.mistakes import Mistake
from mail_proxy.wire.new_messages import MessageIn, WrongMessage
from mail_proxy.wire.usual_message import usual_message

_PIECES = [
    *("a", "Ann", "word", "long " * 30, "x" * 70, "x" * 995, "7bit", " ", "  ", ".", "..", "\n"),
    *("\r", "\r\n", "\n.\n", "\t", "\0", "\x7f", "é", "\ud800", "=?", "=?utf-8?q?x?=", "From "),
    *('"', "\\", ",", "<", ">", "@", "(", ")", ":", ";", "{", "}", "&", "_", "%", "+", "-"),
]
texts = st.lists(st.sampled_from(_PIECES), max_size=12).map("".join)
senders = st.sampled_from(
    [
        *("a@example.org", "Ann <ann@example.org>", '"Ann, B." <a@Example.ORG>', "A <a@x>"),
        *("José <j@example.org>", "j@bücher.example", "jé@example.org", "nobody", "<>", ""),
        *("n" * 100 + " <a@example.org>", "a" * 65 + "@example.org", "=?x?= <a@example.org>"),
    ]
)
recipients = st.sampled_from(
    [
        *("b@example.net", "B@Example.net", "first.last+tag@sub.example.org", "b@localhost"),
        *("x" * 64 + "@" + "d" * 60 + ".example", "x" * 65 + "@example.org", "Bob <b@example.net>"),
        *("b@example.net, c@example.net", "b@bücher.example", '"b c"@example.net', "b@1.2", " "),
    ]
)
identifiers = st.one_of(st.sampled_from(["m1", "i" * 80, "i" * 255, "i" * 256, ""]), texts)
GOOD = {"id": "m1", "from": "Ann <a@example.org>", "to": ["b@example.net"], "subject": "Order 17"}
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "id": st.one_of(identifiers, st.integers(), st.none()),
    "from": st.one_of(senders, texts),
    "to": st.one_of(recipients, st.lists(recipients, max_size=2), texts),
    "subject": texts,
    "body": st.one_of(st.just("Hello\n"), texts, st.none(), texts.map(lambda text: text * 400)),
    "tenant_id": st.one_of(identifiers, st.none()),
    "account_id": identifiers,
    "batch_code": identifiers,
    "priority": st.sampled_from([0, 3, 4, -1, True, 1.0, "high", None]),
    "cc": st.just([]),
}
changes = st.one_of(*(st.tuples(st.just(name), values) for name, values in FIELDS.items()))
records = st.lists(changes, max_size=4).map(lambda changed: {**GOOD, **dict(changed)})


@settings(max_examples=500)
@example({**GOOD, "body": "a\0b"})
@example({**GOOD, "subject": "a\tb"})
@example({**GOOD, "id": "a b"})
@given(records)
def test_a_usual_message_is_stored_as_its_full_reading_is(record: dict[str, Any]) -> None:
    usual = usual_message(record)
    event("recognized" if usual else "left to the full reading")
    if usual is None:
        return
    assert beyond_bounds(record) is None
    full = MessageIn.model_validate(record)
    assert _mail(usual.in_full()) == _mail(full)
    for name in ("tenant_id", "account_id", "batch_code", "priority", "id", "subject"):
        assert getattr(usual, name) == getattr(full, name)
    for name in ("message_id", "deferred_ts", "expires_ts"):
        assert getattr(usual, name) == getattr(full, name)
    content = usual_form(usual, "pk")
    event("composed" if content else "too much for the template")
    if content is None:
        return
    mail = full.mail("pk")
    check_headers(mail)
    assert content == stored_form(mail, full.id)
    assert content.isascii()
    assert usual.to == " ".join(mail.recipients)
    assert dump_head(mail, content) is None


def _mail(message: MessageIn) -> Mail | list[Mistake]:
    try:
        return message.mail("pk")
    except WrongMessage as error:
        return error.wrong


def test_the_messages_that_most_applications_send_are_usual() -> None:
    for more in ({}, {"body": "Dear Bob,\n" * 200}, {"tenant_id": "acme", "priority": 1}):
        usual = usual_message({**GOOD, **more})
        assert usual is not None
        assert usual_form(usual, "pk") is not None
