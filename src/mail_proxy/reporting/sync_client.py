"""Report calls to applications by HTTP POST, or to a function of the program."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Protocol

import httpx
import orjson

from mail_proxy.config import ClientSyncConfig
from mail_proxy.domain.tenant import ClientAuth, Tenant
from mail_proxy.kit.worker import as_value
from mail_proxy.network.answer_bounds import AnswerTooLargeError
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.network.http_transport import GuardedTransport
from mail_proxy.network.tls import system_tls_context
from mail_proxy.reporting.signing import signature_headers
from mail_proxy.telemetry.log import Action, log
from mail_proxy.telemetry.troubles import Troubles
from mail_proxy.wire.reports import OWN_CALL_HEADER, SyncAnswer, read_answer
from mail_proxy.wire.sync_log import CallOutcome

_CONNECT_SECONDS = 10.0
_LARGEST_ANSWER_BYTES = 1_000_000
#: Each takes 50 us, however small it is.
_MOST_CHUNKS = 5_000
#: Chunks that came together are read without a pause. After so many, others get a turn.
_CHUNKS_AT_ONCE = 50
_LONGEST_REASON = 200
_TOO_LARGE = "the answer is larger than 1 MB"
#: Of zlib, by Content-Encoding; "deflate" is sent with and without a zlib header.
_WINDOWS: dict[str, tuple[int, ...]] = {
    "": (),
    "identity": (),
    "gzip": (31,),
    "x-gzip": (31,),
    "deflate": (15, -15),
}
#: Shorter than the idle time after which the usual application servers close (2 to 75 s). A
#: connection that closes just when it is used again would count as a failed call.
_KEEP_ALIVE_SECONDS = 1.5

ReportCallable = Callable[[dict[str, Any]], Awaitable[dict[str, Any] | None]]


@dataclass(frozen=True, slots=True)
class Report:
    """Content of a report call: its ``webhook-id``, Unix seconds and payload."""

    id: str
    at: float
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallFailed:
    """Result of a call that acknowledged nothing.

    ``reason`` is short, on one line and free of secrets.
    """

    outcome: CallOutcome
    reason: str
    #: Seconds that the application asked to wait (``Retry-After`` of 429 and 503).
    retry_after: float = 0


@dataclass(frozen=True, slots=True)
class Call:
    """Result of a report call, with its HTTP status and the sizes of the two bodies."""

    answer: SyncAnswer | CallFailed
    status: int | None = None
    bytes_sent: int = 0
    bytes_received: int = 0


class ReportChannel(Protocol):
    """Way to the tenants' applications: HTTP, or a function of the embedding program."""

    @property
    def everyone(self) -> bool:
        """True if the channel also reaches tenants without a URL of their own."""
        ...

    def reaches(self, tenant: Tenant) -> bool:
        """Return whether there is an address for the tenant."""
        ...

    def url_of(self, tenant: Tenant) -> str | None:
        """Return the tenant's URL for the log, without its query; None for a function."""
        ...

    async def call(self, tenant: Tenant, report: Report) -> Call:
        """Send one report. Raises nothing except CancelledError."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class SyncClient:
    """Channel that sends reports by HTTP to the tenant's or the instance's URL."""

    def __init__(
        self, fallback: ClientSyncConfig, call_seconds: float, guard: NetworkGuard
    ) -> None:
        """Limit each call to ``call_seconds``, from connecting to the answer's end.

        ``guard`` decides which addresses the URLs of tenants may lead to.
        """
        self._fallback_url = fallback.url
        self._fallback_auth = _auth_of(fallback)
        self._call_seconds = call_seconds
        # The certificate authorities of this machine, as for SMTP, not the ones of httpx.
        self._context = system_tls_context("http")
        #: Two pools: a connection that the administrator's URL may have is no tenant's.
        self._guarded = self._client(guard, private_allowed=False)
        self._unguarded = self._client(guard, private_allowed=True)

    @property
    def everyone(self) -> bool:
        return self._fallback_url is not None

    def reaches(self, tenant: Tenant) -> bool:
        return tenant.sync_url is not None or self.everyone

    def url_of(self, tenant: Tenant) -> str | None:
        url = tenant.sync_url or self._fallback_url
        # A query may hold a token.
        return None if url is None else re.split("[?#]", url, maxsplit=1)[0]

    async def call(self, tenant: Tenant, report: Report) -> Call:
        url, auth = tenant.sync_url, tenant.client_auth
        if url is None:
            url, auth = self._fallback_url, self._fallback_auth
        if url is None:
            return Call(CallFailed(CallOutcome.SETTINGS, "the tenant has no URL"))
        if tenant.damage is not None and auth is tenant.client_auth:
            reason = f"{tenant.damage}; save the tenant's client_auth"
            return Call(CallFailed(CallOutcome.SETTINGS, reason))
        if tenant.signing_damage is not None:
            reason = f"{tenant.signing_damage}; save the tenant's signing_secret"
            return Call(CallFailed(CallOutcome.SETTINGS, reason))
        body = orjson.dumps(report.payload)
        secrets = tenant.signing_secrets(report.at)
        try:
            signature = signature_headers(secrets, report.id, report.at, body)
        except ValueError as error:
            return Call(CallFailed(CallOutcome.SETTINGS, f"signing_secret {error}"))
        is_tenants = tenant.sync_url is not None and not tenant.private_allowed
        http = self._guarded if is_tenants else self._unguarded
        try:
            async with asyncio.timeout(self._call_seconds):
                return await self._post(http, url, {**request_headers(auth), **signature}, body)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            return Call(failed_call(error, self._call_seconds), bytes_sent=len(body))

    async def close(self) -> None:
        await self._guarded.aclose()
        await self._unguarded.aclose()

    def _client(self, guard: NetworkGuard, *, private_allowed: bool) -> httpx.AsyncClient:
        # No limit on connections: with one, tenants that hang would use up the pool. The reporter
        # bounds the calls, and each tenant has one at most.
        return httpx.AsyncClient(
            transport=GuardedTransport(
                guard,
                self._context,
                private_allowed=private_allowed,
                keep_alive_seconds=_KEEP_ALIVE_SECONDS,
            ),
            follow_redirects=False,
            timeout=httpx.Timeout(
                self._call_seconds, connect=min(_CONNECT_SECONDS, self._call_seconds)
            ),
            # Cookies of one tenant must not reach another one on the same host.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    async def _post(
        self, http: httpx.AsyncClient, url: str, headers: dict[bytes, bytes], body: bytes
    ) -> Call:
        async with http.stream("POST", url, headers=headers, content=body) as response:
            status = response.status_code
            if not response.is_success:
                followed = ": redirects are not followed" if response.is_redirect else ""
                failed = CallFailed(
                    CallOutcome.STATUS, f"HTTP {status}{followed}", _retry_after(response)
                )
                return Call(failed, status, len(body))
            answer, chunks = bytearray(), 0
            # Raw: a compressed answer must not grow past the limit while it is read.
            async for chunk in response.aiter_raw():
                answer += chunk
                chunks += 1
                if chunks % _CHUNKS_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if chunks > _MOST_CHUNKS:
                    failed = CallFailed(CallOutcome.BAD_ANSWER, "the answer has too many chunks")
                    return Call(failed, status, len(body), len(answer))
                if len(answer) > _LARGEST_ANSWER_BYTES:
                    failed = CallFailed(CallOutcome.BAD_ANSWER, _TOO_LARGE)
                    return Call(failed, status, len(body), len(answer))
        text = decompressed(bytes(answer), response.headers.get("Content-Encoding", ""))
        result = text if isinstance(text, CallFailed) else check_answer(read_answer(text))
        return Call(result, status, len(body), len(answer))


class CallableChannel:
    """Channel that passes reports to a coroutine function of the embedding program."""

    everyone = True

    def __init__(self, deliver: ReportCallable, call_seconds: float) -> None:
        self._deliver = deliver
        self._call_seconds = call_seconds
        self._troubles = Troubles()

    def reaches(self, tenant: Tenant) -> bool:
        return True

    def url_of(self, tenant: Tenant) -> str | None:
        return None

    async def call(self, tenant: Tenant, report: Report) -> Call:
        answer = await as_value(self._within_time(report.payload))
        if isinstance(answer, TimeoutError):
            return Call(failed_call(answer, self._call_seconds))
        if isinstance(answer, Exception):
            if self._troubles.is_due(tenant.id):
                log(Action.REPORT_RAISED, exception=answer, tenant_id=tenant.id)
            reason = f"the callable raised {type(answer).__name__}"
            return Call(CallFailed(CallOutcome.RAISED, reason))
        self._troubles.end(tenant.id)
        return Call(check_answer(read_answer(answer)))

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    async def _within_time(self, payload: dict[str, Any]) -> dict[str, Any] | None:
        async with asyncio.timeout(self._call_seconds):
            return await self._deliver(payload)


def request_headers(auth: ClientAuth) -> dict[bytes, bytes]:
    """Return the HTTP headers of a report call, except its signature."""
    headers = {
        b"User-Agent": b"genro-mail-proxy",
        OWN_CALL_HEADER.encode(): b"report",
        b"Content-Type": b"application/json",
        b"Accept": b"application/json",
        b"Accept-Encoding": b"identity",
    }
    if auth.authorization is not None:
        headers[b"Authorization"] = auth.authorization
    return headers


def decompressed(answer: bytes, encoding: str) -> bytes | CallFailed:
    """Return the body of an answer whose Content-Encoding is none, gzip or deflate.

    The request asks for none; not every application looks at that.
    """
    windows = _WINDOWS.get(encoding.strip().lower())
    if windows is None:
        reason = f"the answer has the Content-Encoding {encoding.strip()[:40]}"
        return CallFailed(CallOutcome.BAD_ANSWER, reason)
    for window in windows:
        unpack = zlib.decompressobj(window)
        try:
            text = unpack.decompress(answer, _LARGEST_ANSWER_BYTES + 1)
        except zlib.error:
            continue
        if len(text) > _LARGEST_ANSWER_BYTES:
            return CallFailed(CallOutcome.BAD_ANSWER, _TOO_LARGE)
        return text
    if not windows:
        return answer
    return CallFailed(CallOutcome.BAD_ANSWER, "the answer cannot be decompressed")


def _retry_after(response: httpx.Response) -> float:
    """Return the seconds of ``Retry-After`` (RFC 9110 section 10.2.3), 0 for none."""
    text = response.headers.get("Retry-After", "").strip()
    if response.status_code not in (429, 503) or not text:
        return 0.0
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def check_answer(answer: SyncAnswer | None) -> SyncAnswer | CallFailed:
    """Return the answer if it acknowledges the call, and CallFailed otherwise."""
    if answer is None:
        return CallFailed(CallOutcome.BAD_ANSWER, "the answer is not a JSON object")
    if answer.failure is not None:
        return CallFailed(CallOutcome.REFUSED, answer.failure)
    return answer


def _auth_of(config: ClientSyncConfig) -> ClientAuth:
    if config.token is not None:
        return ClientAuth("bearer", token=config.token.get_secret_value())
    if config.user is not None:
        password = config.password.get_secret_value() if config.password else ""
        return ClientAuth("basic", user=config.user, password=password)
    return ClientAuth()


def failed_call(error: Exception, call_seconds: float) -> CallFailed:
    """Return the result of a call that ended with an error of the connection."""
    if isinstance(error.__cause__, AnswerTooLargeError):
        return CallFailed(CallOutcome.BAD_ANSWER, str(error))
    if isinstance(error, httpx.ConnectTimeout):
        return CallFailed(CallOutcome.TIMEOUT, "no connection in time")
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return CallFailed(CallOutcome.TIMEOUT, f"no answer within {call_seconds:g} s")
    if isinstance(error, httpx.ConnectError):
        # Its text has names, ports and certificates. Texts of others may quote a header or the URL.
        text = " ".join(str(error).split())
        return CallFailed(CallOutcome.CONNECTION, f"no connection: {text}"[:_LONGEST_REASON])
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return CallFailed(CallOutcome.SETTINGS, "the URL is not valid")
    return CallFailed(CallOutcome.CONNECTION, f"the call broke off: {type(error).__name__}")
