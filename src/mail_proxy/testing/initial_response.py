"""Initial responses of log-ins with access tokens (RFC 7628, XOAUTH2)."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

#: Explanation that a server sends before it refuses a token.
CHALLENGE = b'{"status":"invalid_token","schemes":"bearer","scope":"https://mail.example/"}'
_BEARER = re.compile(
    r"n,a=(?P<user>[^,]*),\x01host=(?P<host>[^\x01]+)\x01port=(?P<port>[0-9]+)\x01"
    r"auth=Bearer (?P<token>[\x21-\x7e]+)\x01\x01"
)
_XOAUTH2 = re.compile(r"user=(?P<user>[^\x01]+)\x01auth=Bearer (?P<token>[\x21-\x7e]+)\x01\x01")


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """Log-in that was presented.

    ``answered`` is the line that the client sends after the explanation of a refusal.
    ``mistake`` says why the initial response is not valid; None if it is.
    """

    mechanism: str
    user: str = ""
    token: str = ""
    host: str | None = None
    port: int | None = None
    answered: str | None = None
    mistake: str | None = None


@dataclass
class TokenLogins:
    """Rule of a server for access tokens, and all log-ins that were presented to it."""

    accepts: Callable[[str, str], bool]
    mechanisms: Sequence[str] = ("OAUTHBEARER", "XOAUTH2")
    seen: list[TokenLogin] = field(default_factory=list)

    async def accepted(
        self, mechanism: str, response: str, explain: Callable[[str], Awaitable[str]]
    ) -> str | None:
        """Return the user whom an initial response in base64 logs in, else None.

        ``explain`` sends the explanation of a refusal, and returns the client's next line.
        """
        read = read_initial_response(mechanism, base64.b64decode(response).decode())
        if read.mistake is None and self.accepts(read.user, read.token):
            self.seen.append(read)
            return read.user
        answered = await explain(base64.b64encode(CHALLENGE).decode())
        self.seen.append(replace(read, answered=answered))
        return None


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
