"""Initial responses of log-ins with access tokens, read octet by octet (RFC 7628, XOAUTH2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Explanation that a server sends before it refuses a token.
CHALLENGE = b'{"status":"invalid_token","schemes":"bearer","scope":"https://mail.example/"}'
_BEARER = re.compile(
    r"n,a=(?P<user>[^,]*),\x01host=(?P<host>[^\x01]+)\x01port=(?P<port>[0-9]+)\x01"
    r"auth=Bearer (?P<token>[\x21-\x7e]+)\x01\x01"
)
_XOAUTH2 = re.compile(r"user=(?P<user>[^\x01]+)\x01auth=Bearer (?P<token>[\x21-\x7e]+)\x01\x01")


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """Log-in that was presented. ``answered`` is the line after the explanation of a refusal.

    ``mistake`` says why the initial response is not valid; None if it is.
    """

    mechanism: str
    user: str = ""
    token: str = ""
    host: str | None = None
    port: int | None = None
    answered: str | None = None
    mistake: str | None = None


def read_initial_response(mechanism: str, text: str) -> TokenLogin:
    """Return the parts of a decoded initial response, whose every octet is checked."""
    found = (_BEARER if mechanism == "OAUTHBEARER" else _XOAUTH2).fullmatch(text)
    if found is None:
        return TokenLogin(mechanism, mistake=f"not a response of {mechanism}: {text!r}")
    parts = found.groupdict()
    if mechanism == "XOAUTH2":
        return TokenLogin(mechanism, parts["user"], parts["token"])
    user = parts["user"].replace("=2C", ",").replace("=3D", "=")
    return TokenLogin(mechanism, user, parts["token"], parts["host"], int(parts["port"]))
