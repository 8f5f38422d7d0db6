"""What routes are handed: the running service, and who is calling."""

from __future__ import annotations

import ipaddress
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

from mail_proxy.errors import Forbidden, Malformed, Unauthorized
from mail_proxy.operations.callers import Caller, InactiveTenant, Stranger
from mail_proxy.proxy import MailProxy
from mail_proxy.wire.fields import Identifier, printable

_token_header = APIKeyHeader(
    name="X-API-Token", auto_error=False, description="The admin token, or a tenant's key."
)
_NO_BODY = "this call takes no body"
_bearer = HTTPBearer(auto_error=False, description="The same tokens.")


def running(request: Request) -> MailProxy:
    """The running proxy; the edge lets nothing through without one."""
    service: MailProxy = request.app.state.proxy
    return service


async def get_service(request: Request) -> MailProxy:
    """``running`` as a parameter of routes; one that is not async would run on a thread."""
    return running(request)


Service = Annotated[MailProxy, Depends(get_service)]


async def get_caller(
    request: Request,
    _header: Annotated[Any, Depends(_token_header)] = None,
    _bearer: Annotated[Any, Depends(_bearer)] = None,
) -> Caller:
    """Who is calling. ``Route`` has found out; the parameters are for the documentation."""
    caller: Caller = request.state.caller
    return caller


async def get_admin(caller: Annotated[Caller, Depends(get_caller)]) -> Caller:
    """The administrator; marks the routes that nobody else may call."""
    return caller


class Token(StrEnum):
    """Who may call a route."""

    NONE = "none"
    TENANT = "tenant or admin"
    ADMIN = "admin"


class Route(APIRoute):
    """A route that knows its caller, and refuses unknown query parameters, before the body is
    read: a stranger learns nothing of what a body should look like, and cannot send a large one.
    """

    @cached_property
    def token(self) -> Token:
        """What it asks for."""
        depends_on = {dependency.call for dependency in self.dependant.dependencies}
        if get_admin in depends_on:
            return Token.ADMIN
        return Token.TENANT if get_caller in depends_on else Token.NONE

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            await self.admit(request)
            if not self._takes_body:
                await _refuse_body(request)
            return await handle(request)

        return checked

    async def admit(self, request: Request) -> None:
        """Find out who calls and put it into ``request.state.caller``, or refuse."""
        if self.token is not Token.NONE:
            endpoint = f"{request.method} {self.path_format}"
            is_admins = self.token is Token.ADMIN
            request.state.caller = await _identify(request, endpoint, is_admins)
        if request.scope["query_string"]:
            _refuse_unknown(request, self._known)

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


async def _identify(request: Request, endpoint: str, is_admins: bool) -> Caller:
    service = running(request)
    address = request.client.host if request.client else "local"
    origin = (endpoint, address, request.state.request_id)
    # Without an admin token, who is on this machine is the administrator.
    is_local = (
        service.authenticator.open and _is_loopback(address) and not _comes_from_a_page(request)
    )
    try:
        caller = await service.authenticator.authenticate(
            _token(request), address, loopback=is_local
        )
    except Unauthorized as error:
        await service.refusals.note(Stranger(None, *origin), error)
        raise
    except InactiveTenant as error:
        await service.refusals.note(Caller(error.tenant_id, *origin), error)
        raise
    caller = caller.at(*origin)
    if is_admins and not caller.is_admin:
        refusal = Forbidden("this needs the admin token")
        await service.refusals.note(caller, refusal, tenant_id=caller.tenant_id)
        raise refusal
    return caller


def _token(request: Request) -> str | None:
    header = request.headers.get("X-API-Token")
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    return header or (bearer.strip() if scheme.lower() == "bearer" else "") or None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "local"


def _comes_from_a_page(request: Request) -> bool:
    """True for what a browser sends for somebody else's page: such a call is from this machine,
    and still is not its user's. Another site shows by its Origin, or, where its name was made to
    lead here (DNS rebinding), by the Host."""
    origin = request.headers.get("Origin")
    host = request.headers.get("Host", "")
    if origin is not None and origin.partition("://")[2] != host:
        return True
    name = request.url.hostname or ""
    return not (_is_loopback(name) or name == "localhost")


def _refuse_unknown(request: Request, known: set[str]) -> None:
    unknown = [printable(name) for name in request.query_params if name not in known]
    if unknown:
        detail = [
            {"field": n, "message": "unknown query parameter", "value": None} for n in unknown
        ]
        raise Malformed(f"{unknown[0][:100]}: unknown query parameter", detail)


async def _refuse_body(request: Request) -> None:
    """A batch that is named in a body nobody reads would be taken for the whole tenant."""
    body = (await request.body()).strip()
    if body in (b"", b"{}", b"null"):
        return
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        given = None
    names = [printable(name)[:100] for name in given] if isinstance(given, dict) else ["body"]
    detail = [{"field": n, "message": _NO_BODY, "value": None} for n in names]
    raise Malformed(f"{names[0]}: {_NO_BODY}", detail)


def _decoded(segment: str) -> str:
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None


AnyCaller = Annotated[Caller, Depends(get_caller)]
Admin = Annotated[Caller, Depends(get_admin)]
#: The edge leaves segments of the path encoded, so that a slash can be part of one.
PathId = Annotated[Identifier, BeforeValidator(_decoded), Path(description="Percent-encoded.")]
TenantQuery = Annotated[
    Identifier | None,
    Query(description="May be left out with a tenant key, or with the only tenant."),
]
