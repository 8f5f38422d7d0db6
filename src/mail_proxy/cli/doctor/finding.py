"""Result of one check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Result of a check of one ``subject``: a file, an account, a domain.

    ``text`` says what was found, ``hint`` what to do if it is a fault.
    """

    check: str
    subject: str
    ok: bool
    text: str
    hint: str | None = None


def good(check: str, subject: str, text: str) -> Finding:
    return Finding(check, subject, True, text)


def fault(check: str, subject: str, text: str, hint: str) -> Finding:
    return Finding(check, subject, False, text, hint)
