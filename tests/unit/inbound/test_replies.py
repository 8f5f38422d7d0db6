"""Answers of people, told apart from automatic mail."""

from __future__ import annotations

import pytest

from mail_proxy.inbound.replies import read_reply

HEAD = {
    "From": "Ann Example <ann@example.net>",
    "To": "shop@example.com",
    "Subject": "Re: Your order",
    "Message-ID": "<a1@example.net>",
    "In-Reply-To": "<17@example.com>",
    "References": "<1@example.com> <17@example.com>",
}
BODY = """\
Thank you,

it arrived.

On Tue, 1 Dec 2026 at 10:00, The Shop <s@example.com> wrote:
> Hi
"""


def mail(body: str = BODY, **changes: str | None) -> bytes:
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    fields = {**HEAD, **named}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return ("\n".join(lines) + "\n\n" + body).encode()


def test_sender_subject_excerpt_and_references_are_read() -> None:
    reply = read_reply(mail())
    assert reply is not None
    assert (reply.sender, reply.subject) == ("ann@example.net", "Re: Your order")
    assert reply.excerpt == "Thank you,\n\nit arrived."
    assert reply.references == ("<17@example.com>", "<1@example.com>")
    assert reply.raw == mail()


@pytest.mark.parametrize(
    "changes",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "auto-generated; owner-email=x@example.net"},
        {"Precedence": "bulk"},
        {"List_Unsubscribe": "<mailto:u@example.net>"},
        {"X_Auto_Response_Suppress": "All"},
        {"X_Autoreply": "yes"},
        {"X_Ricevuta": "accettazione"},
        {"X_Genro_Mail_ID": "17"},
        {"Return_Path": "<>"},
        {"From": "MAILER-DAEMON@example.net"},
        {"From": "Shop <no-reply@example.net>"},
        {"From": "noreply+17@example.net"},
        {"From": None},
        {"Subject": "Out of office: Your order"},
        {"Content_Type": "multipart/report; report-type=disposition-notification; boundary=b"},
    ],
)
def test_automatic_mail_is_no_reply(changes: dict[str, str | None]) -> None:
    assert read_reply(mail(**changes)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"Auto_Submitted": "no"},
        {"Return_Path": "<ann@example.net>"},
        {"From": "nora@example.net"},
        {"References": None, "In_Reply_To": None},
    ],
)
def test_mail_of_a_person_is_one(changes: dict[str, str | None]) -> None:
    assert read_reply(mail(**changes)) is not None


def test_the_excerpt_of_html_and_of_a_quote_first_is_the_own_text() -> None:
    html = mail("<p>It is <b>fine</b></p><blockquote>x</blockquote>", Content_Type="text/html")
    found = read_reply(html)
    assert found is not None
    assert found.excerpt.startswith("It is fine")
    below = read_reply(mail("> Hi\n> there\n\nMy answer\n"))
    assert below is not None
    assert below.excerpt == "My answer"


def test_long_texts_are_cut() -> None:
    found = read_reply(mail("x" * 100_000, Subject="s" * 5_000, References="<r@x> " * 900))
    assert found is not None
    assert len(found.excerpt) == 1000
    assert len(found.subject) == 500
    assert len(found.references) <= 40
