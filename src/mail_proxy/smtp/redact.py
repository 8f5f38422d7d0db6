"""Redacts the account's password from server replies.

Replies are stored, logged and reported, and some servers repeat what a client sent.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from urllib.parse import quote

from mail_proxy.domain.account import SmtpLogin

Redact = Callable[[str], str]


def redaction_of(login: SmtpLogin) -> Redact:
    """Return a function that replaces the login's password in a text by ``***``.

    It finds the password as plain text, percent-encoded, and as AUTH sends it in base64. For a
    log-in with access tokens it is a ``Redaction``, which learns them later.
    """
    if login.tokens is not None:
        return Redaction()
    if not login.password:
        return str
    return Redaction(_forms(login.user or "", login.password))


class Redaction:
    """Function that replaces secrets in a text by ``***``."""

    def __init__(self, forms: Sequence[str] = ()) -> None:
        self._forms = list(forms)

    def add(self, *secrets: bytes) -> None:
        """Replace these octets from now on, also where they are in base64."""
        for secret in secrets:
            encoded = base64.b64encode(secret).decode()
            self._forms += [encoded, encoded.rstrip("="), secret.decode("utf-8", "replace")]
        self._forms.sort(key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, "***")
        return text


def _forms(user: str, password: str) -> list[str]:
    """List every spelling: AUTH PLAIN (RFC 4616), AUTH LOGIN, and the password itself."""
    octets = [f"\0{user}\0{password}".encode(), password.encode()]
    wire = [base64.b64encode(octet).decode() for octet in octets]
    # The longest first: replacing a short one would leave readable pieces of a longer one.
    plain = {password, quote(password), quote(password, safe="")}
    return [*wire, *(form.rstrip("=") for form in wire), *sorted(plain, key=len, reverse=True)]
