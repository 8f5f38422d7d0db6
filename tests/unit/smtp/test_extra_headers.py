"""Headers that clients name are written by the grammar of each field."""

from __future__ import annotations

import pytest

from mail_proxy.domain.header_fields import HEADER_FIELDS, Grammar
from mail_proxy.smtp.extra_headers import extra_header


def value(name: str, given: str) -> str:
    written_name, _, written = extra_header(name, given).partition(": ")
    assert written_name == name
    return written


@pytest.mark.parametrize(
    ("name", "given", "written"),
    [
        ("List-Unsubscribe", "<https://e.org/u/aa==?list=7>", "<https://e.org/u/aa==?list=7>"),
        ("List-Unsubscribe", " <https://e.org/u>\t", "<https://e.org/u>"),
        ("List-Unsubscribe", "https://e.org/u?a=?b", "<https://e.org/u?a=?b>"),
        (
            "List-Unsubscribe",
            "<mailto:a@b.org>,<https://e.org>",
            "<mailto:a@b.org>, <https://e.org>",
        ),
        (
            "List-Unsubscribe",
            "<mailto:a@b.org> <https://e.org>",
            "<mailto:a@b.org>, <https://e.org>",
        ),
        ("List-Owner", "<mailto:a@b.org> (Jörg)", "<mailto:a@b.org> (=?utf-8?b?SsO2cmc=?=)"),
        ("List-Post", "NO (closed)", "NO (closed)"),
        ("Archived-At", "<https://e.org/m/=?x?=>", "<https://e.org/m/=?x?=>"),
        ("Sender", "Jörg <j@e.org>", "=?utf-8?b?SsO2cmc=?= <j@e.org>"),
        ("Sender", '"Doe, J" <j@e.org>', '"Doe, J" <j@e.org>'),
        ("Reply-To", "Zoë <z@e.org>, a@e.org", "=?utf-8?q?Zo=C3=AB?= <z@e.org>, a@e.org"),
        ("Errors-To", "a@BÜCHER.example", "a@xn--bcher-kva.example"),
        ("Resent-To", "a@e.org , b@e.org", "a@e.org, b@e.org"),
        ("List-Id", "Übung <u.e.org>", "=?utf-8?b?w5xidW5n?= <u.e.org>"),
        ("List-Id", '"Our list" <u.e.org>', "Our list <u.e.org>"),
        ("List-Id", "u.e.org", "<u.e.org>"),
        ("In-Reply-To", "<a=?b?q?c@e.org>", "<a=?b?q?c@e.org>"),
        ("In-Reply-To", "a@e.org", "<a@e.org>"),
        ("References", "<a@b>\t <c@d>,<e>", "<a@b> <c@d> <e>"),
        ("Keywords", "Größe, b c", "=?utf-8?b?R3LDtsOfZQ==?=, b c"),
        ("Feedback-ID", "a:=?b?q?c?=:d", "a:=?b?q?c?=:d"),
        ("X-Priority", " 1 (Highest) ", "1 (Highest)"),
        ("Auto-Submitted", "auto-replied; owner=x", "auto-replied; owner=x"),
        ("Resent-Date", "Tue, 14 Nov 2023 22:13:20 +0000", "Tue, 14 Nov 2023 22:13:20 +0000"),
        ("Resent-Message-ID", "<a@b>", "<a@b>"),
        ("list-unsubscribe-post", "List-Unsubscribe=One-Click", "List-Unsubscribe=One-Click"),
        ("Comments", "frei wählbar", "=?utf-8?q?frei_w=C3=A4hlbar?="),
        ("X-Note", "https://e.org/?a==?b", "https://e.org/?a==?b"),
        ("X-Note", "=?utf-8?q?no?=", "=?utf-8?b?PT91dGYtOD9xP25vPz0=?="),
    ],
)
def test_only_words_are_encoded(name: str, given: str, written: str) -> None:
    assert value(name, given) == written


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        ("List-Unsubscribe", "<https://e.org/ü>", "percent-encoded"),
        ("List-Unsubscribe", "<https://e.org/a b>", "without blanks"),
        ("List-Unsubscribe", "<>", "not a URI"),
        ("List-Unsubscribe", "unsubscribe here", "angle brackets"),
        ("List-Unsubscribe", "(nowhere)", "needs a URI"),
        ("List-Unsubscribe-Post", "yes", "must be List-Unsubscribe=One-Click"),
        ("Sender", "a@e.org, b@e.org", "2 addresses; allowed: 1"),
        ("Reply-To", "nobody", "not a mail address"),
        ("List-Id", "no id here", r"<list\.example\.org>"),
        ("List-Id", "x <ü.e.org>", "ASCII"),
        ("In-Reply-To", "your mail of Monday", "not a message id"),
        ("References", "<ü@e.org>", "ASCII"),
        ("Resent-Message-ID", "<a@b> <c@d>", "one message id"),
        ("Precedence", "bülk", "ASCII"),
        ("Resent-Date", "yesterday", "must be a date"),
        ("Auto-Submitted", " ", "must not be empty"),
        ("Sender", "a@b\r\nBcc: c@d", "CR, LF and NUL"),
    ],
)
def test_a_value_against_the_grammar_is_refused_by_name(name: str, given: str, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"header {name}: .*{reason}"):
        extra_header(name, given)


@pytest.mark.parametrize(
    "header",
    [
        ("List-Unsubscribe", f"<https://e.org/{'x' * 1200}>"),
        ("References", f"<{'x' * 1200}@e.org>"),
        ("Feedback-ID", "x" * 1000),
        ("Thread-Index", "A" * 1200),
    ],
)
def test_a_value_that_no_line_can_hold_is_refused_with_the_limit(header: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=rf"header {header[0]}: .*allowed: 998"):
        extra_header(*header)


def test_the_longest_line_is_taken() -> None:
    room = 998 - len("Feedback-ID: ")
    assert value("Feedback-ID", "x" * room) == "x" * room
    with pytest.raises(ValueError, match="needs a line of 999 octets"):
        extra_header("Feedback-ID", "x" * (room + 1))


def test_lists_are_folded_between_their_items() -> None:
    ids = [f"<{number:040}@example.org>" for number in range(9)]
    assert value("References", " ".join(ids)).split("\r\n ") == ids
    uris = [f"<https://example.org/{'x' * 60}/{number}>" for number in range(3)]
    assert value("List-Help", ",".join(uris)).split(",\r\n ") == uris


def test_a_long_key_is_folded_where_its_readers_skip_blanks() -> None:
    key = "QUJD" * 500
    lines = value("Autocrypt", f"addr=a@e.org; keydata={key}").split("\r\n ")
    assert max(map(len, lines)) <= 78
    assert "".join(lines) == f"addr=a@e.org;keydata={key}"


def test_every_grammar_but_free_text_refuses_what_it_cannot_hold() -> None:
    for name, field in HEADER_FIELDS.items():
        if field.grammar not in (Grammar.TEXT, Grammar.PHRASES):
            with pytest.raises(ValueError, match=f"header {name}: "):
                extra_header(name, "\u2028")
