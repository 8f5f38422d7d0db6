"""The octets that common mails are written as."""

from __future__ import annotations

import pytest

from mail_proxy.domain.mail import Address, Mail
from mail_proxy.smtp.compose import compose

ANN = Address("Ann", "ann@example.org")
SHOP = Address("Shop", "shop@example.com")


def mail(
    body: str = "Hello\n",
    *,
    sender: Address = SHOP,
    to: tuple[Address, ...] = (ANN,),
    cc: tuple[Address, ...] = (),
    bcc: tuple[Address, ...] = (),
    subject: str = "Your order",
    html: str | None = None,
    return_path: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Mail:
    return Mail(
        sender,
        to,
        cc,
        bcc,
        subject,
        body,
        "plain",
        "<1@example.com>",
        body_html=html,
        return_path=return_path,
        headers=headers,
    )


def written(value: Mail, *, date: float = 1_700_000_000.9) -> str:
    return compose(value, tracking_id="order-1", date=date).data.decode()


def header(value: Mail, name: str) -> str | None:
    """The field as it is written, folding included."""
    text = written(value).split("\r\n\r\n")[0].replace("\r\n ", "\0 ")
    for line in text.split("\r\n"):
        if line.startswith(f"{name}: "):
            return line.removeprefix(f"{name}: ").replace("\0", "\r\n")
    return None


def test_a_plain_mail() -> None:
    assert written(mail()) == (
        "From: Shop <shop@example.com>\r\n"
        "To: Ann <ann@example.org>\r\n"
        "Subject: Your order\r\n"
        "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
        "Message-ID: <1@example.com>\r\n"
        "X-Genro-Mail-ID: order-1\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 7bit\r\n"
        "\r\n"
        "Hello\r\n"
    )


def test_html_beside_text_is_an_alternative() -> None:
    head, text, html, end = written(mail(html="<p>Hello")).split("--=_")
    boundary = head.split('boundary="')[1].split('"')[0]
    assert head.endswith(f'multipart/alternative;\r\n boundary="{boundary}"\r\n\r\n')
    assert text.endswith("\r\n\r\nHello\r\n\r\n")
    assert html.endswith("\r\n\r\n<p>Hello\r\n\r\n")
    assert "text/html" in html
    assert f"=_{end}" == f"{boundary}--\r\n"


def test_the_boundary_is_never_in_a_part() -> None:
    boundary = header(mail(html="x"), "Content-Type").split('"')[1]  # type: ignore[union-attr]
    forged = written(mail(f"--{boundary}--\n", html="x"))
    assert f'boundary="{boundary}_"' in forged


def test_the_same_mail_is_written_the_same_way_again() -> None:
    assert written(mail("è", html="<p>è")) == written(mail("è", html="<p>è"))


@pytest.mark.parametrize("body", ["a\nb", "a\rb\r", "a\r\nb\r\n", "a\r\nb\n"])
def test_any_line_end_becomes_crlf(body: str) -> None:
    assert written(mail(body)).endswith("\r\n\r\na\r\nb\r\n")


def test_an_empty_body_stays_empty() -> None:
    assert written(mail("")).endswith("7bit\r\n\r\n")


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        ("x" * 990, "7bit"),
        ("x" * 991, "quoted-printable"),
        ("un caffè per favore\n" * 50, "quoted-printable"),
        ("кофе\n" * 50, "base64"),
        ("nul \0 in text", "quoted-printable"),
    ],
)
def test_the_smallest_encoding_that_arrives(body: str, encoding: str) -> None:
    assert header(mail(body), "Content-Transfer-Encoding") == encoding


def test_bcc_is_in_no_header() -> None:
    hidden = mail(bcc=(Address("Eve", "eve@example.net"),))
    assert "eve" not in written(hidden).lower()


def test_only_bcc() -> None:
    assert header(mail(to=(), bcc=(ANN,)), "To") == "undisclosed-recipients:;"
    assert header(mail(to=(), cc=(ANN,)), "To") is None


def test_long_address_lists_are_folded() -> None:
    many = tuple(Address(f"Person {i}", f"person{i}@example.org") for i in range(9))
    lines = (header(mail(to=many), "To") or "").split("\r\n")
    assert len(lines) > 3
    assert max(map(len, lines)) <= 78
    assert "".join(lines).split(", ") == [f"{a.name} <{a.email}>" for a in many]


def test_a_long_non_ascii_subject_is_encoded_in_short_words() -> None:
    lines = (header(mail(subject="Съешь ещё этих мягких булок " * 4), "Subject") or "").split(
        "\r\n"
    )
    assert len(lines) > 1
    assert max(map(len, lines)) <= 76


def test_words_that_no_line_can_hold_are_encoded() -> None:
    endless = "x" * 1200
    names = (Address(endless, "a@b.example"), Address("x." * 600, "c@d.example"))
    value = mail(subject=endless, to=names)
    assert max(map(len, written(value).split("\r\n"))) <= 78
    assert header(mail(subject="x" * 900), "Subject") == "x" * 900


def test_a_name_with_specials_is_quoted() -> None:
    sender = Address('Doe, "JD" \\', "j@example.com")
    assert header(mail(sender=sender), "From") == r'"Doe, \"JD\" \\" <j@example.com>'


def test_what_looks_like_an_encoded_word_is_encoded() -> None:
    assert header(mail(subject="=?utf-8?q?x?="), "Subject") == "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?="


@pytest.mark.parametrize(
    "value",
    [
        mail(to=(Address("", "josé@example.org"),)),
        mail(bcc=(Address("", "josé@example.org"),)),
        mail(return_path="josé@example.org"),
    ],
)
def test_a_non_ascii_local_part_needs_smtputf8(value: Mail) -> None:
    assert compose(value, tracking_id="t", date=0).needs_smtputf8
    assert not compose(mail(), tracking_id="t", date=0).needs_smtputf8


def test_utf8_in_an_address_makes_the_message_8bit() -> None:
    value = compose(mail(to=(Address("é", "josé@example.org"),)), tracking_id="t", date=0)
    assert value.is_8bit
    assert "=?utf-8?b?w6k=?= <josé@example.org>" in value.data.decode()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (mail(subject="a\r\nBcc: x@y.z"), "Subject"),
        (mail(to=(Address("a\nb", "x@y.z"),)), "To"),
        (mail(cc=(Address("", "x@y.z>\r\nBcc: <a@b.c"),)), "Cc"),
        (mail(cc=(Address("", "x@y.z>, <a@b.c"),)), "Cc"),
        (mail(headers=(("X-Note", "a\0b"),)), "X-Note"),
        (mail(headers=(("X-Note", "\ud800"),)), "X-Note"),
        (mail(headers=(("X Note", "a"),)), "X Note"),
        (mail(headers=(("", "a"),)), "''"),
    ],
)
def test_what_would_leave_its_header_is_refused(value: Mail, name: str) -> None:
    with pytest.raises(ValueError, match=f"header '?{name}"):
        written(value)


def test_no_line_of_an_alternative_is_longer_than_it_need_be() -> None:
    head, *_ = written(mail(html="<p>Hello")).split("\r\n\r\n")
    assert max(map(len, head.split("\r\n"))) <= 78
