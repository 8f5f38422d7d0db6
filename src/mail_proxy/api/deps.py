"""Parameters of routes: the call with its caller, path and query parameters."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import orjson
from fastapi import Depends, Path, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import BeforeValidator
from starlette.types import Scope

from mail_proxy.api.bodies import announced_bytes
from mail_proxy.dashboard.parts import UiParts
from mail_proxy.domain.networks import is_loopback
from mail_proxy.errors import Forbidden, InactiveTenant, TooLarge, Unauthorized, UnsupportedMedia
from mail_proxy.features.large_files.downloads import Downloads
from mail_proxy.features.unsubscribe.recording import Unsubscribing
from mail_proxy.http.exchange import Headers
from mail_proxy.operations.callers import Caller, Stranger
from mail_proxy.operations.door import Door
from mail_proxy.operations.monitoring import Monitoring
from mail_proxy.operations.operation import Answer, Operation
from mail_proxy.operations.operation import Request as Asked
from mail_proxy.proxy import MailProxy
from mail_proxy.wire.fields import Identifier
from mail_proxy.wire.json_bounds import UNCOUNTED_BYTES, refuse_too_many_values
from mail_proxy.wire.mistakes import malformed, mistake
from mail_proxy.wire.reports import OWN_CALL_HEADER
from mail_proxy.wire.spelling import suggestion

_token_header = APIKeyHeader(
    name="X-API-Token", auto_error=False, description="The admin token, or a tenant's key."
)
#: Headers with which reverse proxies say for whom they call.
_FORWARDING = ("X-Forwarded-For", "Forwarded", "X-Real-IP")
#: The address of a client on a Unix socket.
_UNIX_SOCKET = "local"
#: The last ones are what programs send that do not say what they send. CSV is for one route.
_JSON_TYPES = (
    *("application/json", "text/json", "text/csv", ""),
    *("text/plain", "application/octet-stream", "application/x-www-form-urlencoded"),
)
_NO_BODY = "this call takes no body"
_NO_PARAMETER = "unknown query parameter"
#: Of a body that is one JSON object; the largest names 10 000 messages.
_MOST_BYTES = 4_000_000
_MOST_VALUES = 12_000
_bearer = HTTPBearer(auto_error=False, description="The same tokens.")


class Calling:
    """Runs operations for the caller of one request."""

    def __init__(self, door: Door, caller: Caller) -> None:
        self._door = door
        self._caller = caller

    async def __call__(
        self, operation: Operation[Asked, Answer], request: Asked, tenant_id: str | None = None
    ) -> Answer:
        """Run an operation; ``tenant_id`` names the tenant that the call is about."""
        return await self._door.call(operation, self._caller, request, tenant_id)

    @property
    def most_messages(self) -> int:
        """Number of messages that one call may add at most."""
        return self._door.queue.max_enqueue_batch

    @property
    def replayable(self) -> frozenset[str]:
        """Names of the operations that can be run again from an export of the audit log."""
        found = self._door.operations.items()
        return frozenset(name for name, operation in found if operation.replayable)


def running(request: Request) -> MailProxy:
    """Return the running proxy; ``RequestBounds`` refuses all requests without one."""
    proxy: MailProxy = request.app.state.proxy
    return proxy


async def get_call(
    request: Request,
    _header: Annotated[Any, Depends(_token_header)] = None,
    _bearer: Annotated[Any, Depends(_bearer)] = None,
) -> Calling:
    """Return the call, whose caller ``Route`` knows.

    The other parameters are for OpenAPI only.
    """
    return Calling(running(request).door, request.state.caller)


async def get_admin_call(call: Annotated[Calling, Depends(get_call)]) -> Calling:
    """Return the call, and mark the route as the administrator's."""
    return call


async def get_monitoring(request: Request) -> Monitoring:
    """Return metrics and readiness. Without ``async`` this would run on a thread."""
    return running(request).monitoring


async def get_downloads(request: Request) -> Downloads:
    """Return the downloads of large files."""
    return running(request).downloads


async def get_unsubscribes(request: Request) -> Unsubscribing:
    """Return the answers to links to unsubscribe."""
    return running(request).unsubscribes


class Token(StrEnum):
    """The token that a route asks for."""

    NONE = "none"
    TENANT = "tenant or admin"
    ADMIN = "admin"


class Route(APIRoute):
    """A route that checks token and query parameters before it reads the body.

    So a caller without a token cannot send a large body, and learns nothing about its fields.
    """

    @cached_property
    def token(self) -> Token:
        """The token that the route asks for."""
        depends_on = {dependency.call for dependency in self.dependant.dependencies}
        if get_admin_call in depends_on:
            return Token.ADMIN
        return Token.TENANT if get_call in depends_on else Token.NONE

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            await self.admit(request)
            if not self._takes_body:
                await _refuse_body(request)
            elif self.body_field is not None:
                await _refuse_large(request)
            return await handle(request)

        return checked

    async def admit(self, request: Request) -> None:
        """Authenticate the caller and put it into ``request.state.caller``, or refuse."""
        if self.token is not Token.NONE:
            is_admins = self.token is Token.ADMIN
            request.state.caller = await _identify(request, self._origin(request.scope), is_admins)
        if request.scope["query_string"]:
            _refuse_unknown(request, self._known)
        _refuse_encoded(request.scope["headers"])

    def admit_at_once(self, proxy: MailProxy, scope: Scope) -> Caller | None:
        """Authenticate as ``admit`` does, if memory is enough for that; else return None.

        For a request without a query to a route that asks for a token.
        """
        _refuse_encoded(scope["headers"])
        caller = proxy.authenticator.recognize(_token(scope["headers"]))
        if caller is None:
            return None
        if caller.tenant_id is not None:
            proxy.call_rates.take(caller.tenant_id)
        found = scope["state"]["caller"] = caller.at(*self._origin(scope))
        return found

    def _origin(self, scope: Scope) -> tuple[str, str, str]:
        """Return route, address and request id of a call, for the audit log."""
        client = scope.get("client")
        address = client[0] if client else _UNIX_SOCKET
        return f"{scope['method']} {self.path_format}", address, scope["state"]["request_id"]

    @cached_property
    def _takes_body(self) -> bool:
        return self.body_field is not None or "requestBody" in (self.openapi_extra or {})

    @cached_property
    def _known(self) -> set[str]:
        return set(_query_names(self.dependant))


def _query_names(dependant: Dependant) -> Iterator[str]:
    yield from (parameter.alias for parameter in dependant.query_params)
    for inner in dependant.dependencies:
        yield from _query_names(inner)


async def _identify(request: Request, origin: tuple[str, str, str], is_admins: bool) -> Caller:
    proxy, address = running(request), origin[1]
    is_local = _is_local(request)
    try:
        token = _token(request.scope["headers"])
        caller = await proxy.authenticator.authenticate(token, address, loopback=is_local)
    except Unauthorized as error:
        await proxy.refusals.record(Stranger(None, *origin), error)
        raise
    except InactiveTenant as error:
        await proxy.refusals.record(Caller(error.tenant_id, *origin), error)
        raise
    caller = caller.at(*origin)
    if caller.tenant_id is not None:
        proxy.call_rates.take(caller.tenant_id)
    if is_admins and not caller.is_admin:
        refusal = Forbidden("this needs the admin token")
        await proxy.refusals.record(caller, refusal, tenant_id=caller.tenant_id)
        raise refusal
    return caller


def ui_parts(request: Request) -> UiParts:
    """Return the parts of the running service that the dashboard uses."""
    proxy = running(request)
    return UiParts(
        door=proxy.door,
        authenticator=proxy.authenticator,
        refusals=proxy.refusals,
        rates=proxy.call_rates,
        sessions=proxy.ui_sessions,
        config=proxy.config,
        is_local=_is_local(request),
    )


def _is_local(request: Request) -> bool:
    """Return True for a caller that is the administrator without an admin token.

    It is a caller on this machine, if the instance has no admin token.
    """
    address = request.client.host if request.client else _UNIX_SOCKET
    return (
        running(request).authenticator.open
        and (address == _UNIX_SOCKET or is_loopback(address))
        and not _comes_from_elsewhere(request)
    )


def _token(headers: Headers) -> str | None:
    header = _first(headers, b"x-api-token")
    scheme, _, bearer = _first(headers, b"authorization").partition(" ")
    return header or (bearer.strip() if scheme.lower() == "bearer" else "") or None


def _first(headers: Headers, name: bytes) -> str:
    return next((value for key, value in headers if key == name), b"").decode("latin-1")


def _comes_from_elsewhere(request: Request) -> bool:
    """Return True for a request from this machine that is not its user's.

    It comes from a reverse proxy, from this proxy itself because a tenant's report URL leads here,
    or from a web page of another site in the user's browser. The Origin header shows the other
    site, or the Host header if the site's name was made to lead here (DNS rebinding).
    """
    if any(name in request.headers for name in (OWN_CALL_HEADER, *_FORWARDING)):
        return True
    origin = request.headers.get("Origin")
    host = request.headers.get("Host", "")
    if origin is not None and origin.partition("://")[2] != host:
        return True
    name = request.url.hostname or ""
    return not is_loopback(name)


def _refuse_encoded(headers: Headers) -> None:
    """Refuse a body that is not JSON in UTF-8 as it is, such as a compressed one."""
    for name, value in headers:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            given = value[:40].decode("latin-1")
            raise UnsupportedMedia(f"Content-Encoding {given}: send the body as it is")
        if name == b"content-type" and value != b"application/json":
            _refuse_type(value[:200].decode("latin-1").lower())


def _refuse_type(value: str) -> None:
    kind, _, parameters = value.partition(";")
    charset = parameters.partition("charset=")[2].partition(";")[0].strip('" ')
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise UnsupportedMedia(f"Content-Type with charset {charset[:40]}: JSON is UTF-8")
    if not (kind.strip() in _JSON_TYPES or kind.strip().endswith("+json")):
        raise UnsupportedMedia(f"Content-Type {kind.strip()[:40]}: send application/json")


def _refuse_unknown(request: Request, known: set[str]) -> None:
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise malformed(*(mistake(name, _no_parameter(name, known)) for name in unknown))


def _no_parameter(name: str, known: set[str]) -> str:
    similar = suggestion(name, sorted(known))
    return f"{_NO_PARAMETER}; did you mean {similar}?" if similar else _NO_PARAMETER


async def _refuse_body(request: Request) -> None:
    """Refuse a body that is not read: a batch named in it would mean the whole tenant."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > UNCOUNTED_BYTES:
            break
    body = body.strip()
    if body in (b"", b"{}", b"null"):
        return
    try:
        given = orjson.loads(body) if len(body) <= UNCOUNTED_BYTES else None
    except orjson.JSONDecodeError:
        given = None
    names = list(given) if isinstance(given, dict) else ["body"]
    raise malformed(*(mistake(name, _NO_BODY) for name in names))


async def _refuse_large(request: Request) -> None:
    """Refuse a body that is larger than any honest one, before it is parsed."""
    announced = announced_bytes(request.scope["headers"])
    if announced > _MOST_BYTES:
        raise TooLarge(f"a body of {announced} bytes; allowed for this call: {_MOST_BYTES}")
    body = await request.body()
    if len(body) > _MOST_BYTES:
        raise TooLarge(f"a body of {len(body)} bytes; allowed for this call: {_MOST_BYTES}")
    refuse_too_many_values(body, _MOST_VALUES)


def decoded(segment: str) -> str:
    """Decode a path segment; ``RequestBounds`` leaves them encoded."""
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None


def tenant_of(in_query: str | None, in_body: str | None) -> str | None:
    """Return the tenant that a call names in its query, its body, or both alike."""
    if in_query is not None and in_body is not None and in_query != in_body:
        raise malformed(mistake("tenant_id", "the query and the body name different tenants"))
    return in_query if in_body is None else in_body


#: Parameter of a route that asks for a token, and of one that asks for the admin token.
Call = Annotated[Calling, Depends(get_call)]
AdminCall = Annotated[Calling, Depends(get_admin_call)]
Watch = Annotated[Monitoring, Depends(get_monitoring)]
Unsubscribes = Annotated[Unsubscribing, Depends(get_unsubscribes)]
FileDownloads = Annotated[Downloads, Depends(get_downloads)]
#: ``RequestBounds`` leaves path segments encoded, so that a slash can be part of an id.
PathId = Annotated[Identifier, BeforeValidator(decoded), Path(description="Percent-encoded.")]
TenantQuery = Annotated[
    Identifier | None,
    Query(
        description="Optional with a tenant key, or if there is only one tenant. Without it, the "
        "administrator's reading calls cover all tenants."
    ),
]
