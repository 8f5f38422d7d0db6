"""ASGI middleware that every request passes first: request id, path and bounds.

The bounds are on the size and the time of a request.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

import orjson
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mail_proxy.api import pages
from mail_proxy.api.bodies import announced_bytes
from mail_proxy.domain.networks import Network
from mail_proxy.errors import (
    HeadersTooLarge,
    MailProxyError,
    NotRunning,
    RequestError,
    TooBusy,
    TooLarge,
    TooSlow,
)
from mail_proxy.http.forwarded import forwarded
from mail_proxy.http.limits import BODY_BUFFER_BYTES, MOST_HEADER_BYTES, MOST_HEADERS
from mail_proxy.kit.body_budget import BodyBudget
from mail_proxy.telemetry.log import Action, begin_request, log

_ACCEPTABLE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_ALIVE = "/health"
#: Other methods must not become label values of a metric.
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_UNKNOWN = "unknown"
#: Called with route, method, status and seconds of each request.
Observe = Callable[[str, str, str, float], None]


@dataclass(frozen=True)
class Bounds:
    """Limits of a request body: bytes, and seconds until it has arrived.

    ``all_bodies_bytes`` is the budget of all bodies that are in memory at the same time.
    ``trusted_proxies`` are the networks of reverse proxies that say for whom they call.
    """

    body_bytes: int
    body_seconds: float
    all_bodies_bytes: int
    trusted_proxies: tuple[Network, ...] = ()


class Refused(HTTPException):
    """A refusal. FastAPI turns other exceptions of ``receive`` into a 400."""

    def __init__(self, kind: type[MailProxyError], error: str, status: int | None = None) -> None:
        # The rest of the request is not read, so nothing can follow on this connection.
        super().__init__(status or kind.http_status, error, {"Connection": "close"})
        self.kind = kind


class RequestBounds:
    """ASGI middleware. ``bounds`` returns None while the service does not run."""

    def __init__(self, app: ASGIApp, bounds: Callable[[], Bounds | None], observe: Observe) -> None:
        self._app = app
        self._bounds = bounds
        self._observe = observe
        self._budget = BodyBudget()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = identify(scope)
        status: int | None = None
        method: str = scope["method"]
        is_head = method == "HEAD"  # as GET, without the body (RFC 9110, 9.3.2)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        begin_request(request_id.decode())
        begun = time.perf_counter()
        asked = "GET" if is_head else method
        scope = {**scope, "method": asked, "path": _canonical_path(scope)}
        body: _Body | None = None
        try:
            bounds = self._admit(scope)
            if bounds is not None:
                body = _Body(receive, scope, bounds, self._budget)
            await self._app(scope, receive if body is None else body.receive, send_with_id)
        except Refused as error:
            if status is None:
                await _refuse(send_with_id, error)
        finally:
            if body is not None:
                body.release()
            note_answer(scope, method, status or 500, begun, self._observe)

    def _admit(self, scope: Scope) -> Bounds | None:
        """Return the bounds of a request; None for ``/health`` before the start."""
        bounds = self._bounds()
        if bounds is not None:
            admit(scope, bounds)
        elif scope["path"] != scope.get("root_path", "") + _ALIVE:
            raise Refused(NotRunning, "the proxy is not running")
        return bounds


def identify(scope: Scope) -> bytes:
    """Choose the id of a request, the client's own if it is acceptable, and note it."""
    given = next((v for k, v in scope["headers"] if k == b"x-request-id"), b"")
    request_id = given if _ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex.encode()
    scope.setdefault("state", {})["request_id"] = request_id.decode()
    return request_id


def admit(scope: Scope, bounds: Bounds) -> None:
    """Refuse headers beyond the bounds; note for whom a reverse proxy calls."""
    headers = scope["headers"]
    size = sum([len(name) + len(value) for name, value in headers])
    if size > MOST_HEADER_BYTES or len(headers) > MOST_HEADERS:
        raise Refused(
            HeadersTooLarge,
            f"{len(headers)} headers of {size} bytes; allowed: {MOST_HEADERS}, and "
            f"{MOST_HEADER_BYTES} bytes",
        )
    if announced_bytes(headers) > bounds.body_bytes:
        raise _body_too_large(bounds)
    scope.update(forwarded(scope.get("client"), headers, bounds.trusted_proxies))


def note_answer(scope: Scope, method: str, status: int, begun: float, observe: Observe) -> None:
    """Count and log the answer of a request.

    ``begun`` is the time of its head (``perf_counter``).
    """
    seconds = time.perf_counter() - begun
    observe(_route_of(scope), method if method in _METHODS else _UNKNOWN, str(status), seconds)
    _log_answer(scope, method, status, seconds)


def _route_of(scope: Scope) -> str:
    """Return the route's path template. The path itself is the caller's choice."""
    template = getattr(scope.get("route"), "path_format", None)
    if isinstance(template, str):
        return template
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path if path in pages.PATHS else _UNKNOWN


def _canonical_path(scope: Scope) -> str:
    """Return the path with its segments percent-encoded in one way.

    An encoded slash must not divide a segment. Segments of ``root_path`` stay decoded, as in ASGI.
    """
    root: str = scope.get("root_path", "")
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    segments = raw.partition(b"?")[0].split(b"/")[1 + root.count("/") :]
    return root + "".join(f"/{quote(unquote_to_bytes(segment), safe='')}" for segment in segments)


class _Body:
    """Body of a request, which is read within bounds of size and time.

    A large one waits for room in the budget before it is read, and keeps the room until the
    request is answered. A chunked one of more than 64 kB counts as the largest that is allowed.
    """

    def __init__(self, receive: Receive, scope: Scope, bounds: Bounds, budget: BodyBudget) -> None:
        self._receive = receive
        self._scope = scope
        self._bounds = bounds
        self._budget = budget
        self._owner = ""
        self._taken = self._seen = 0
        self._is_complete = False
        self._deadline: float | None = None

    async def receive(self) -> Message:
        """Return the next message (ASGI); raises a refusal beyond a bound."""
        if self._is_complete:
            # After the body only the end of the connection comes, which has no deadline.
            return await self._receive()
        if self._deadline is None:
            await self._take(announced_bytes(self._scope["headers"]))
            self._deadline = asyncio.get_running_loop().time() + self._bounds.body_seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            error = f"the body did not arrive within {self._bounds.body_seconds:g} s"
            raise Refused(TooSlow, error) from None
        if message["type"] == "http.disconnect":
            raise Refused(RequestError, "the connection ended before the body was complete", 499)
        self._is_complete = not message.get("more_body", False)
        self._seen += len(message.get("body", b""))
        if self._seen > self._bounds.body_bytes:
            raise _body_too_large(self._bounds)
        if self._seen > BODY_BUFFER_BYTES and not self._taken:
            await self._take(self._bounds.body_bytes)
        return message

    async def _take(self, size: int) -> None:
        if size <= BODY_BUFFER_BYTES:
            return  # the number of connections bounds them
        caller = self._scope["state"].get("caller")
        tenant = getattr(caller, "tenant_id", None)
        client = self._scope.get("client") or ("",)
        self._owner = f"address {client[0]}" if tenant is None else f"tenant {tenant}"
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._bounds.body_seconds):
                await self._budget.take(self._owner, size, self._bounds.all_bodies_bytes)
        except TimeoutError:
            error = f"too many large bodies at once: no room within {self._bounds.body_seconds:g} s"
            raise Refused(TooBusy, error) from None
        self._taken = size
        if self._deadline is not None:
            self._deadline += asyncio.get_running_loop().time() - begun

    def release(self) -> None:
        """Return the room that the body has taken."""
        if self._taken:
            self._budget.give_back(self._owner, self._taken)
            self._taken = 0


def _body_too_large(bounds: Bounds) -> Refused:
    return Refused(TooLarge, f"the body is larger than {bounds.body_bytes} bytes")


def _log_answer(scope: Scope, method: str, status: int, seconds: float) -> None:
    route, caller = scope.get("route"), scope["state"].get("caller")
    log(
        Action.REQUEST_ANSWERED,
        request_id=scope["state"]["request_id"],
        method=method,
        # A path segment may be a secret that was put in the place of a name.
        route=getattr(route, "path_format", None),
        status=status,
        milliseconds=seconds * 1000,
        actor=getattr(caller, "actor", None),
        address=getattr(caller, "address", None),
    )


async def _refuse(send: Send, error: Refused) -> None:
    record = {"ok": False, "error": error.detail, "code": error.kind.code, "detail": None}
    body = orjson.dumps(record)
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers.append((b"content-length", str(len(body)).encode()))
    if error.status_code == 503:
        headers.append((b"retry-after", b"1"))
    start = {"type": "http.response.start", "status": error.status_code, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
