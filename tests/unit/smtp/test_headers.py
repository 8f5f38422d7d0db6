"""Header lines stay short, survive a parser, and never leave their line."""

from __future__ import annotations

from email import message_from_string
from email.policy import default

import pytest

from mail_proxy.domain.mail import Address
from mail_proxy.smtp.extra_headers import extra_header
from mail_proxy.smtp.headers import address_header, raw_header, text_header, token_header


def parsed(line: str) -> str:
    """The value that the standard library's parser reads."""
    return str(message_from_string(f"{line}\r\n\r\n", policy=default).values()[0])


@pytest.mark.parametrize(
    "value",
    ["", "Hello", "word " * 30 + "end", "caf\u00e9 " * 40, "=?utf-8?q?no?=", " edge ", "x" * 1200],
)
def test_any_text_comes_back_from_lines_that_are_not_too_long(value: str) -> None:
    line = text_header("Subject", value)
    assert parsed(line).strip() == value.strip()
    assert all(len(part) <= 998 for part in line.split("\r\n"))
    assert all(part.strip() for part in line.split("\r\n"))


def test_plain_text_is_folded_before_column_78_where_it_has_spaces() -> None:
    lines = text_header("Subject", "word " * 40 + "end").split("\r\n")
    assert len(lines) > 2
    assert all(len(line) <= 78 for line in lines)


def test_an_identifier_with_a_space_is_encoded_and_one_without_is_not() -> None:
    assert token_header("X-Id", "a-1") == "X-Id: a-1"
    assert token_header("X-Id", "a 1") == "X-Id: =?utf-8?q?a_1?="


@pytest.mark.parametrize("text", ["a\rb", "a\nBcc: x@y", "a\0b", "\ud800"])
def test_text_that_would_leave_its_line_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="Subject"):
        text_header("Subject", text)
    with pytest.raises(ValueError, match="To"):
        address_header("To", [Address(text, "a@example.org")])
    if text != "\ud800":
        with pytest.raises(ValueError, match="Message-ID"):
            raw_header("Message-ID", text)


@pytest.mark.parametrize("name", ["", "With Space", "Colon:", "Caf\u00e9", "x" * 901])
def test_a_name_that_is_no_field_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a field name"):
        extra_header(name, "value")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("", "a@example.org"),
        ("  ", "a@example.org"),
        ("Ann", "Ann <a@example.org>"),
        ("Ann, Ltd.", '"Ann, Ltd." <a@example.org>'),
        ('Ann "A"', r'"Ann \"A\"" <a@example.org>'),
        ("\u00c5nn", "=?utf-8?q?=C3=85nn?= <a@example.org>"),
    ],
)
def test_display_names(name: str, written: str) -> None:
    assert address_header("To", [Address(name, "a@example.org")]) == f"To: {written}"
