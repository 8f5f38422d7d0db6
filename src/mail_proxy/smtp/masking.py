"""Servers may repeat what they were told, and what they say is stored, logged and reported."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

from mail_proxy.domain.account import SmtpLogin

Mask = Callable[[str], str]


def mask_of(login: SmtpLogin) -> Mask:
    """Replaces the login's password in a server's words by ``***``, however it is spelled."""
    if not login.password:
        return str
    forms = _forms(login.user or "", login.password)

    def mask(text: str) -> str:
        for form in forms:
            text = text.replace(form, "***")
        return text

    return mask


def _forms(user: str, password: str) -> list[str]:
    """What goes over the wire: AUTH PLAIN (RFC 4616), AUTH LOGIN; and the password itself."""
    octets = [f"\0{user}\0{password}".encode(), password.encode()]
    wire = [base64.b64encode(octet).decode() for octet in octets]
    # The longest first: what is left of a form that was cut up would still tell something.
    plain = {password, quote(password), quote(password, safe="")}
    return [*wire, *(form.rstrip("=") for form in wire), *sorted(plain, key=len, reverse=True)]
