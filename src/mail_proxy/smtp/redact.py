"""Redacts the account's password from server replies.

Replies are stored, logged and reported, and some servers repeat what a client sent.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

from mail_proxy.domain.account import SmtpLogin

Redact = Callable[[str], str]


def redaction_of(login: SmtpLogin) -> Redact:
    """Return a function that replaces the login's password in a text by ``***``.

    It finds the password as plain text, percent-encoded, and as AUTH sends it in base64.
    """
    if not login.password:
        return str
    forms = _forms(login.user or "", login.password)

    def redact(text: str) -> str:
        for form in forms:
            text = text.replace(form, "***")
        return text

    return redact


def _forms(user: str, password: str) -> list[str]:
    """List every spelling: AUTH PLAIN (RFC 4616), AUTH LOGIN, and the password itself."""
    octets = [f"\0{user}\0{password}".encode(), password.encode()]
    wire = [base64.b64encode(octet).decode() for octet in octets]
    # The longest first: replacing a short one would leave readable pieces of a longer one.
    plain = {password, quote(password), quote(password, safe="")}
    return [*wire, *(form.rstrip("=") for form in wire), *sorted(plain, key=len, reverse=True)]
