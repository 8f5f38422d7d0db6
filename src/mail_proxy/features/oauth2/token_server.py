"""Requests to OAuth2 token servers (RFC 6749 sections 4.4, 5 and 6, RFC 7523)."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any, TypeGuard

import httpx
import orjson

from mail_proxy.domain.assertion import assertion
from mail_proxy.domain.oauth2 import OAuth2Settings
from mail_proxy.kit.side_thread import SideThread
from mail_proxy.network.access_tokens import TokenTrouble
from mail_proxy.network.answer_bounds import AnswerTooLargeError
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.network.http_transport import GuardedTransport
from mail_proxy.network.tls import system_tls_context

CALL_SECONDS = 20.0
_CONNECT_SECONDS = 10.0
_MOST_BYTES = 100_000
_LONGEST_TOKEN = 16_384
_LONGEST_WORDS = 300
#: RFC 6749 section 5.1: the time is recommended only.
_USUAL_SECONDS = 3600.0
_LONGEST_SECONDS = 86_400.0
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: Errors of RFC 6749 section 5.2 and of RFC 8628, which servers extend.
_ERROR_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_HEADERS = {
    b"User-Agent": b"genro-mail-proxy",
    b"Accept": b"application/json",
    b"Accept-Encoding": b"identity",
}


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An access token, with the seconds that it is valid.

    ``refresh_token`` replaces the one that was used, if the server rotates them.
    """

    access_token: str
    valid_seconds: float
    refresh_token: str | None

    def __repr__(self) -> str:
        return f"IssuedToken({self.valid_seconds:g} s)"


class TokenServer:
    """Client of the token servers that accounts name."""

    def __init__(self, guard: NetworkGuard, call_seconds: float = CALL_SECONDS) -> None:
        """``guard`` decides which addresses a token URL may lead to."""
        self._guard = guard
        self._call_seconds = call_seconds
        self._signing = SideThread("oauth2")

    async def ask(self, settings: OAuth2Settings, now: float) -> IssuedToken:
        """Obtain an access token. Raises TokenTrouble with the server's words."""
        form = await self._form(settings, now)
        status, body = await self._post(settings, form)
        secrets = [v for v in (settings.client_secret, settings.refresh_token) if v]
        return issued_token(status, body, secrets)

    async def _form(self, settings: OAuth2Settings, now: float) -> dict[str, str]:
        form = {"client_id": settings.client_id, "scope": settings.wanted_scope}
        if settings.grant == "service_account":
            try:
                signed = await self._signing.run(assertion, settings, now)
            except ValueError as error:
                raise TokenTrouble(f"private_key {error}; save the account's auth") from None
            return {"grant_type": _JWT_BEARER, "assertion": signed}
        if settings.grant == "refresh_token":
            if not settings.refresh_token:
                raise TokenTrouble("there is no refresh token: run `accounts authorize`")
            form |= {"grant_type": "refresh_token", "refresh_token": settings.refresh_token}
        else:
            form["grant_type"] = "client_credentials"
        form["client_secret"] = settings.client_secret
        return {name: value for name, value in form.items() if value is not None}

    async def _post(self, settings: OAuth2Settings, form: dict[str, str]) -> tuple[int, bytes]:
        seconds = self._call_seconds
        transport = GuardedTransport(
            self._guard,
            system_tls_context("http"),
            private_allowed=settings.private_allowed,
            keep_alive_seconds=1.0,
            most_bytes=_MOST_BYTES,
        )
        timeout = httpx.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))
        try:
            async with (
                asyncio.timeout(seconds),
                httpx.AsyncClient(transport=transport, timeout=timeout) as http,
                http.stream("POST", settings.endpoint, headers=_HEADERS, data=form) as response,
            ):
                body = b"".join([chunk async for chunk in response.aiter_raw()])
                return response.status_code, body
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise TokenTrouble(_reason(error, seconds)) from None


def issued_token(status: int, body: bytes, secrets: list[str]) -> IssuedToken:
    """Return the token of an answer; raise TokenTrouble for every other answer.

    ``secrets`` are cut out of the server's words.
    """
    answer = _read(body)
    if status != 200 or answer is None:
        raise TokenTrouble(_refusal(status, answer, secrets))
    token, kind = answer.get("access_token"), answer.get("token_type", "bearer")
    if not _is_token(token):
        if isinstance(answer.get("error"), str):  # some servers refuse with 200
            raise TokenTrouble(_refusal(status, answer, secrets))
        raise TokenTrouble("the token server's answer has no access_token that can be used")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise TokenTrouble("the token server's answer has a token_type other than bearer")
    rotated = answer.get("refresh_token")
    return IssuedToken(
        token, _seconds(answer.get("expires_in")), rotated if _is_token(rotated) else None
    )


def _read(body: bytes) -> dict[str, Any] | None:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return answer if isinstance(answer, dict) else None


def _is_token(value: Any) -> TypeGuard[str]:
    """Return whether a value has characters and size of a token (RFC 6749 appendix A)."""
    return isinstance(value, str) and len(value) <= _LONGEST_TOKEN and bool(_TOKEN.fullmatch(value))


def _seconds(value: Any) -> float:
    """Return ``expires_in``, which some servers send as a text, within bounds."""
    if value is None or isinstance(value, bool):
        return _USUAL_SECONDS
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return _USUAL_SECONDS
    return min(max(seconds, 0.0), _LONGEST_SECONDS) if seconds == seconds else _USUAL_SECONDS


def _refusal(status: int, answer: dict[str, Any] | None, secrets: list[str]) -> str:
    """Return the words of a refusal, but not those of a server of another kind."""
    code = (answer or {}).get("error")
    if not (isinstance(code, str) and _ERROR_CODE.fullmatch(code)):
        what = "refuses" if status != 200 else "answers with something other than a token"
        return f"the token server {what}: HTTP {status}"
    words = (answer or {}).get("error_description")
    text = f"{code}: {words}" if isinstance(words, str) and words else code
    for secret in secrets:
        text = text.replace(secret, "***")
    printable = "".join(c if c.isprintable() else " " for c in text)
    return f"the token server refuses: {' '.join(printable.split())[:_LONGEST_WORDS]}"


def _reason(error: Exception, seconds: float) -> str:
    if isinstance(error.__cause__, AnswerTooLargeError):
        return f"the token server's answer is larger than {_MOST_BYTES} octets"
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection to the token server in time"
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return f"no answer of the token server within {seconds:g} s"
    if isinstance(error, httpx.ConnectError):
        text = " ".join(str(error).split())
        return f"no connection to the token server: {text}"[:_LONGEST_WORDS]
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return "the token URL is not valid"
    return f"the call of the token server broke off: {type(error).__name__}"
