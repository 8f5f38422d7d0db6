"""Attachments that are read by HTTP: from a URL, or from the tenant's application."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import httpx
import orjson

from mail_proxy.attachments.content_coding import decoded
from mail_proxy.attachments.fetching import Draft, FetchFailed, FetchRequest
from mail_proxy.domain.attachment import FetchMode
from mail_proxy.domain.tenant import ClientAuth, Tenant
from mail_proxy.domain.web_url import check_web_url
from mail_proxy.kit.side_thread import SideThread
from mail_proxy.network.answer_bounds import AnswerTooLargeError
from mail_proxy.network.guard import NetworkGuard, RefusedAddressError
from mail_proxy.network.http_status import is_temporary
from mail_proxy.network.http_transport import GuardedTransport
from mail_proxy.network.tls import system_tls_context

_CONNECT_SECONDS = 10.0
_MOST_REDIRECTS = 5
#: With a new method, a POST would lose its body.
_SAME_METHOD = (307, 308)
_REDIRECTS = (301, 302, 303, *_SAME_METHOD)
#: Octets that are written to the draft at once.
_WRITTEN_AT_ONCE = 262_144
#: Heads and chunk sizes of an answer, per octet of content and in all.
_OVERHEAD, _LEAST_OVERHEAD = 2, 1_000_000
_LONGEST_REASON = 200


class HttpFetcher:
    """Reads attachments by HTTP: ``http_url`` with GET, ``endpoint`` with POST.

    ``urls`` guards URLs in messages. ``applications`` guards those of tenants, which the
    administrator may have saved for any address. ``base_url`` is the endpoint of tenants without
    a URL of their own.
    """

    def __init__(
        self,
        urls: NetworkGuard,
        applications: NetworkGuard,
        base_url: str | None,
        most_octets: int,
        beside: SideThread,
    ) -> None:
        self._urls = urls
        self._applications = applications
        self._base_url = base_url
        self._most = most_octets
        self._beside = beside

    async def fetch(self, request: FetchRequest, draft: Draft) -> None:
        try:
            await self._follow(*self._call(request), draft)
        except (httpx.HTTPError, httpx.InvalidURL, RefusedAddressError) as error:
            raise _failed(error) from None

    def _call(self, request: FetchRequest) -> tuple[httpx.Request, ClientAuth, _Reach]:
        if request.attachment.mode is FetchMode.HTTP_URL:
            call = httpx.Request("GET", request.attachment.reference)
            return call, request.auth or ClientAuth(), _Reach(self._urls)
        tenant = request.tenant
        if request.auth is None and tenant.damage is not None:
            raise FetchFailed("the tenant's client_auth cannot be decrypted", is_temporary=True)
        body = orjson.dumps({"storage_path": request.attachment.reference})
        headers = {"Content-Type": "application/json"}
        call = httpx.Request("POST", self.endpoint_of(tenant), headers=headers, content=body)
        is_trusted = tenant.attachment_url is None or tenant.private_allowed
        reach = _Reach(self._applications, call.url.host if is_trusted else None)
        return call, request.auth or tenant.client_auth, reach

    def endpoint_of(self, tenant: Tenant) -> str:
        """Return the URL of a tenant's application; raises FetchFailed if there is none."""
        url = tenant.attachment_url or self._base_url
        if url is None:
            raise FetchFailed(
                "is a path for the tenant's application, and the tenant has no client_base_url"
            )
        return url

    def _client(self, reach: _Reach, host: str) -> _Client:
        # A new client for each call: no connection outlives its fetch.
        guard, private_allowed = reach.guard, host == reach.trusted_host
        transport = GuardedTransport(
            guard,
            system_tls_context("http"),
            private_allowed=private_allowed,
            keep_alive_seconds=0,
            most_bytes=self._most * _OVERHEAD + _LEAST_OVERHEAD,
        )
        return _Client(
            None if private_allowed else guard,
            transport=transport,
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
        )

    async def _follow(
        self, call: httpx.Request, auth: ClientAuth, reach: _Reach, draft: Draft
    ) -> None:
        origin = _origin(call.url)
        for _ in range(_MOST_REDIRECTS + 1):
            call.headers["User-Agent"] = "genro-mail-proxy"
            call.headers["Accept-Encoding"] = "identity"
            # The login is for the first server, not for one that it names.
            if auth.authorization is not None and _origin(call.url) == origin:
                call.headers["Authorization"] = auth.authorization.decode()
            async with self._client(reach, call.url.host) as client:
                response = await client.send(call, stream=True)
                try:
                    if response.status_code not in _REDIRECTS:
                        await self._receive(response, draft)
                        return
                    call = _redirected(call, response)
                finally:
                    await response.aclose()
        raise FetchFailed(f"more than {_MOST_REDIRECTS} redirects")

    async def _receive(self, response: httpx.Response, draft: Draft) -> None:
        status = response.status_code
        if status != httpx.codes.OK:
            raise FetchFailed(f"the server answered {status}", is_temporary=is_temporary(status))
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        length = response.headers.get("Content-Length", "")
        if encoding == "identity" and length.isascii() and length.isdigit():
            draft.expect(int(length[:20]))
        waiting = bytearray()
        async for piece in decoded(response.aiter_raw(), encoding):
            waiting += piece
            if len(waiting) >= _WRITTEN_AT_ONCE:
                await self._beside.run(draft.write, bytes(waiting))
                waiting.clear()
        await self._beside.run(draft.write, bytes(waiting))


class _Reach(NamedTuple):
    """Hosts that a fetch may call: those that ``guard`` permits, and ``trusted_host``.

    A redirect to another host than the trusted one is behind the guard.
    """

    guard: NetworkGuard
    trusted_host: str | None = None


class _Client(httpx.AsyncClient):
    """Client that refuses hosts that are written as private addresses."""

    def __init__(self, guard: NetworkGuard | None, **options: Any) -> None:
        super().__init__(**options)
        self._guard = guard

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Send a request; raises RefusedAddressError."""
        if self._guard is not None:
            self._guard.refuse_written(request.url.host)
        return await super().send(request, **options)


def _redirected(call: httpx.Request, response: httpx.Response) -> httpx.Request:
    """Return the request that a redirect asks for."""
    if call.method != "GET" and response.status_code not in _SAME_METHOD:
        raise FetchFailed(f"the application answered {response.status_code}")
    location = response.headers.get("Location", "")
    target = urljoin(str(call.url), location)
    try:
        check_web_url(target)
        if not location:
            raise ValueError("is missing")
        url = httpx.URL(target)
    except (ValueError, httpx.InvalidURL) as error:
        raise FetchFailed(f"redirect to a URL that {error}") from None
    headers = {"Content-Type": "application/json"} if call.method == "POST" else {}
    return httpx.Request(call.method, url, headers=headers, content=call.content)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    parts = urlsplit(str(url))
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port


def _failed(error: Exception) -> FetchFailed:
    """Return the error of a connection in words; those of libraries may quote the URL."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, RefusedAddressError):
            return FetchFailed(f"is refused: {cause}")
        if isinstance(cause, AnswerTooLargeError):
            return FetchFailed(str(cause))
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return FetchFailed("the URL is not valid")
    if isinstance(error, httpx.ConnectTimeout):
        reason = "no connection in time"
    elif isinstance(error, httpx.ConnectError):
        reason = f"no connection: {' '.join(str(error).split())}"[:_LONGEST_REASON]
    else:
        reason = "the connection broke off"
    return FetchFailed(reason, is_temporary=True)
