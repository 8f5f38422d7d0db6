"""FastAPI integration: the client as a dependency, a router for reports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from mail_proxy.client import AsyncMailProxyClient, BadSignature, Report, verify_reports

_STATE = "mail_proxy_client"
_LARGEST_CALL_BYTES = 16_000_000


def mail_proxy_lifespan(
    url: str, token: str | None = None, **options: Any
) -> Callable[[FastAPI], Any]:
    """Return a lifespan of an application that opens and closes the client.

    ``options`` are those of ``AsyncMailProxyClient``.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncMailProxyClient(url, token, **options) as client:
            setattr(app.state, _STATE, client)
            yield

    return lifespan


def mail_proxy(request: Request) -> AsyncMailProxyClient:
    """Return the client, as a dependency: ``Annotated[..., Depends(mail_proxy)]``."""
    found: AsyncMailProxyClient = getattr(request.app.state, _STATE)
    return found


def reports_router(
    take: Callable[[Report], Awaitable[object]], secret: str, path: str = "/mail-proxy/sync"
) -> APIRouter:
    """Return a router that takes report calls, signed with the tenant's ``secret``.

    ``take`` is awaited with each report, in order, at least once. If it raises an exception, the
    call fails with status 500 and the proxy makes it again later; raise ``HTTPException`` for
    another status.
    """
    router = APIRouter()

    @router.post(path)
    async def reports(request: Request) -> JSONResponse:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_CALL_BYTES:
                raise HTTPException(413)
        try:
            found = verify_reports(bytes(body), request.headers, secret)
        except BadSignature:
            return JSONResponse({"ok": False, "error": "wrong signature"}, 401)
        for report in found:
            await take(report)
        return JSONResponse({"ok": True})

    return router
