"""One report call to one tenant's application."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Protocol

import httpx
import orjson

from mail_proxy.config import ClientSyncConfig
from mail_proxy.domain.tenant import ClientAuth, Tenant
from mail_proxy.kit.worker import caught
from mail_proxy.wire.reports import SyncAnswer, read_answer

_log = logging.getLogger("mail_proxy.reporting")
_CONNECT_SECONDS = 10.0
_LARGEST_ANSWER_BYTES = 1_000_000
_LONGEST_REASON = 200
#: Shorter than the idle time after which the usual application servers close (2 to 75 s): a
#: connection that closes just while it is used again would count as a failed call.
_KEEP_ALIVE_SECONDS = 1.5

ReportCallable = Callable[[dict[str, Any]], Awaitable[dict[str, Any] | None]]


@dataclass(frozen=True, slots=True)
class CallFailed:
    """The call acknowledged nothing. ``reason`` is short, on one line and free of secrets."""

    reason: str


class ReportChannel(Protocol):
    """A way to the tenants' applications."""

    @property
    def everyone(self) -> bool:
        """Whether it also reaches tenants that have no URL of their own."""
        ...

    def reaches(self, tenant: Tenant) -> bool: ...

    async def call(self, tenant: Tenant, payload: dict[str, Any]) -> SyncAnswer | CallFailed:
        """Hand over one report. Never raises but for cancellation."""
        ...

    async def close(self) -> None: ...


class SyncClient:
    """Reports by HTTP, to the tenant's own URL or else to the instance's."""

    def __init__(self, fallback: ClientSyncConfig, call_seconds: float) -> None:
        """``call_seconds`` bounds a whole call, from the connection to the end of the answer."""
        self._fallback_url = fallback.url
        self._fallback_auth = _auth_of(fallback)
        self._call_seconds = call_seconds
        # No limit on connections here: with one, tenants that hang would use up the pool.
        # The reporter bounds the calls, and each tenant has one at most.
        self._http = httpx.AsyncClient(
            follow_redirects=False,
            timeout=httpx.Timeout(call_seconds, connect=min(_CONNECT_SECONDS, call_seconds)),
            limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_SECONDS),
            # Cookies of one tenant must not reach another one on the same host.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    @property
    def everyone(self) -> bool:
        return self._fallback_url is not None

    def reaches(self, tenant: Tenant) -> bool:
        return tenant.sync_url is not None or self.everyone

    async def call(self, tenant: Tenant, payload: dict[str, Any]) -> SyncAnswer | CallFailed:
        url, auth = tenant.sync_url, tenant.client_auth
        if url is None:
            url, auth = self._fallback_url, self._fallback_auth
        if url is None:
            return CallFailed("the tenant has no URL")
        if tenant.damage is not None and auth is tenant.client_auth:
            return CallFailed(f"{tenant.damage}; save the tenant's client_auth")
        body = orjson.dumps(payload)
        try:
            async with asyncio.timeout(self._call_seconds):
                return await self._post(url, request_headers(auth), body)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            return CallFailed(_reason(error, self._call_seconds))

    async def close(self) -> None:
        await self._http.aclose()

    async def _post(
        self, url: str, headers: dict[bytes, bytes], body: bytes
    ) -> SyncAnswer | CallFailed:
        async with self._http.stream("POST", url, headers=headers, content=body) as response:
            if response.is_redirect:
                return CallFailed(f"HTTP {response.status_code}: redirects are not followed")
            if not response.is_success:
                return CallFailed(f"HTTP {response.status_code}")
            answer = bytearray()
            # Raw, so that a compressed answer cannot grow past the limit while it is read.
            async for chunk in response.aiter_raw():
                answer += chunk
                if len(answer) > _LARGEST_ANSWER_BYTES:
                    return CallFailed("the answer is larger than 1 MB")
        return judge(read_answer(bytes(answer)))


class CallableChannel:
    """Reports to a coroutine function of the program that embeds the proxy."""

    everyone = True

    def __init__(self, deliver: ReportCallable, call_seconds: float) -> None:
        self._deliver = deliver
        self._call_seconds = call_seconds

    def reaches(self, tenant: Tenant) -> bool:
        return True

    async def call(self, tenant: Tenant, payload: dict[str, Any]) -> SyncAnswer | CallFailed:
        answer = await caught(self._within_time(payload))
        if isinstance(answer, TimeoutError):
            return CallFailed(_reason(answer, self._call_seconds))
        if isinstance(answer, Exception):
            _log.error("action=report.raised tenant=%r", tenant.id, exc_info=answer)
            return CallFailed(f"the callable raised {type(answer).__name__}")
        return judge(read_answer(answer))

    async def close(self) -> None:
        """Nothing is held open."""

    async def _within_time(self, payload: dict[str, Any]) -> dict[str, Any] | None:
        async with asyncio.timeout(self._call_seconds):
            return await self._deliver(payload)


def request_headers(auth: ClientAuth) -> dict[bytes, bytes]:
    """All headers of a call; a signature over the body belongs here too."""
    headers = {
        b"User-Agent": b"genro-mail-proxy",
        b"Content-Type": b"application/json",
        b"Accept": b"application/json",
        b"Accept-Encoding": b"identity",
    }
    if auth.method == "bearer" and auth.token:
        headers[b"Authorization"] = b"Bearer " + auth.token.encode()
    elif auth.method == "basic":
        pair = f"{auth.user or ''}:{auth.password or ''}".encode()
        headers[b"Authorization"] = b"Basic " + base64.b64encode(pair)
    return headers


def judge(answer: SyncAnswer | None) -> SyncAnswer | CallFailed:
    """Only an answer that acknowledges is passed on."""
    if answer is None:
        return CallFailed("the answer is not a JSON object")
    if not answer.ok:
        return CallFailed("the application answered ok: false")
    return answer


def _auth_of(config: ClientSyncConfig) -> ClientAuth:
    if config.token is not None:
        return ClientAuth("bearer", token=config.token.get_secret_value())
    if config.user is not None:
        password = config.password.get_secret_value() if config.password else ""
        return ClientAuth("basic", user=config.user, password=password)
    return ClientAuth()


def _reason(error: Exception, call_seconds: float) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return f"no answer within {call_seconds:g} s"
    if isinstance(error, httpx.ConnectError):
        # Its text tells names, ports and certificates. Others may quote a header or the URL.
        text = " ".join(str(error).split())
        return f"no connection: {text}"[:_LONGEST_REASON]
    return f"the call broke off: {type(error).__name__}"
