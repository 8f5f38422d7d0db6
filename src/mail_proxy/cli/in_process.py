"""Transport of the client to the application of a stopped instance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from mail_proxy.api.app import build_app
from mail_proxy.config import ProxyConfig

#: Neither deliver, nor report, nor send alerts by itself.
_QUIET = {"scheduler_active": False, "test_mode": True}
#: The caller's address in the audit log if the application runs in this process.
_HERE = ("local", 0)


@contextmanager
def in_process(config: ProxyConfig) -> Iterator[httpx.BaseTransport]:
    """Run the application on an event loop in a thread. It does not deliver or report."""
    app = build_app(lambda: config.model_copy(update=_QUIET))
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        yield _Transport(portal, httpx.ASGITransport(app, client=_HERE))


class _Transport(httpx.BaseTransport):
    """Carries requests to the event loop of the application."""

    def __init__(self, portal: BlockingPortal, inner: httpx.AsyncBaseTransport) -> None:
        self._portal = portal
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._portal.call(self._answer, request)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(
            httpx.Request(
                request.method, request.url, headers=request.headers, content=request.read()
            )
        )
        content = await answer.aread()
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)
