"""Interface between log-ins and the source of their OAuth2 access tokens."""

from __future__ import annotations

from typing import Protocol

from mail_proxy.domain.oauth2 import TokenLogin


class TokenTrouble(Exception):
    """Failure to obtain an access token; the text is one line without secrets."""


class TokenSource(Protocol):
    """Source of access tokens: stored ones, or new ones of the token server."""

    async def access_token(self, login: TokenLogin, refused: str | None = None) -> str:
        """Return a token that is valid now, and is not ``refused``.

        ``refused`` is a token that the mail server did not accept. Raises TokenTrouble; takes
        bounded time.
        """
        ...


class NoTokens:
    """Source without tokens, for programs that use the SMTP client alone."""

    async def access_token(self, login: TokenLogin, refused: str | None = None) -> str:
        raise TokenTrouble("this program has no source of access tokens")
