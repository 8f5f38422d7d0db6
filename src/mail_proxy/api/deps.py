"""What routes are handed: the running service, and who is calling."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from mail_proxy.errors import Forbidden, MailProxyError
from mail_proxy.operations.access import Caller
from mail_proxy.proxy import MailProxy
from mail_proxy.wire.fields import Identifier

_token_header = APIKeyHeader(name="X-API-Token", auto_error=False)
_bearer = HTTPBearer(auto_error=False)


class NotStarted(MailProxyError):
    """The application's lifespan has not run, or has ended."""

    code = "not_started"
    http_status = 503


def get_service(request: Request) -> MailProxy:
    """The running proxy; NotStarted (503) before start and after stop."""
    service: MailProxy | None = getattr(request.app.state, "proxy", None)
    if service is None:
        raise NotStarted("the proxy is not running")
    return service


Service = Annotated[MailProxy, Depends(get_service)]


async def get_caller(
    request: Request,
    service: Service,
    header: Annotated[str | None, Depends(_token_header)] = None,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None,
) -> Caller:
    """Authenticate the request."""
    token = header or (bearer.credentials if bearer else None)
    address = request.client.host if request.client else "local"
    caller = await service.authenticator.authenticate(
        token, address, loopback=_is_loopback(address)
    )
    endpoint = f"{request.method} {request.url.path}"
    return caller.at(endpoint, address, request.state.request_id)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "local"


async def get_admin(caller: Annotated[Caller, Depends(get_caller)]) -> Caller:
    """An administrator, or Forbidden."""
    if not caller.is_admin:
        raise Forbidden("this needs the admin token")
    return caller


AnyCaller = Annotated[Caller, Depends(get_caller)]
Admin = Annotated[Caller, Depends(get_admin)]
TenantQuery = Annotated[
    Identifier | None,
    Query(description="May be left out with a tenant key, or with the only tenant."),
]
