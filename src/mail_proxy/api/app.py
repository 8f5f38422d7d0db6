"""The ASGI application that serves one MailProxy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from mail_proxy.api import errors, openapi, pages
from mail_proxy.api.deps import Route
from mail_proxy.api.fast_path import FastPath
from mail_proxy.api.feature_routes import router_of
from mail_proxy.api.request_bounds import Bounds, RequestBounds
from mail_proxy.api.routes import (
    accounts,
    command_log,
    files,
    instance,
    messages,
    receipts,
    service,
    stats,
    suppression_lists,
    suspension,
    sync_log,
    tenants,
    unsubscribe,
)
from mail_proxy.api.short_way import ShortWay
from mail_proxy.config import ProxyConfig
from mail_proxy.domain.networks import parsed
from mail_proxy.features.registry import FEATURES
from mail_proxy.http.uvicorn_server import Application
from mail_proxy.proxy import MailProxy
from mail_proxy.wire.service import program_version

_MEGABYTE = 1_000_000
_MODULES = (
    service,
    stats,
    messages,
    receipts,
    suspension,
    accounts,
    tenants,
    sync_log,
    instance,
    command_log,
    files,
    suppression_lists,
    unsubscribe,
)

_ROUTERS = (*(module.router for module in _MODULES), *map(router_of, FEATURES))


def build_app(load: Callable[[], ProxyConfig]) -> FastAPI:
    """Build the application; ``load`` is called when its lifespan begins, not before."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        config = load()
        if host := getattr(app.state, "host", None):
            config = config.model_copy(update={"host": host})
        proxy = await MailProxy.create(config)
        app.state.proxy = proxy
        try:
            yield
        finally:
            app.state.proxy = None
            await proxy.stop()

    app = Application(
        title="Genro Mail Proxy",
        version=program_version(),
        description="Durable mail queue between applications and SMTP servers.",
        lifespan=lifespan,
        redirect_slashes=False,
        # The proxy's own pages need no scripts of other hosts.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    # ``include_router`` would prepare each route once more, on its first request.
    app.router.routes.extend(routes())
    errors.install(app, routes())
    busiest = next(route for route in routes() if route.endpoint is messages.add)
    bounds, observe = partial(_bounds, app), partial(_observe, app)
    app.add_middleware(FastPath, route=busiest)
    app.add_middleware(RequestBounds, bounds=bounds, observe=observe)
    app.short_way = ShortWay(busiest, partial(_running, app), bounds, observe)
    openapi.install(app, routes(), messages.EXTRA_MODELS)
    pages.install(app)
    return app


def routes() -> list[Route]:
    """Return the routes of all modules, in the order in which they are matched."""
    return [r for router in _ROUTERS for r in router.routes if isinstance(r, Route)]


def _running(app: FastAPI) -> MailProxy | None:
    proxy: MailProxy | None = getattr(app.state, "proxy", None)
    return proxy


def _bounds(app: FastAPI) -> Bounds | None:
    proxy = _running(app)
    if proxy is None:
        return None
    most = int(proxy.queue.max_body_mb * _MEGABYTE)
    config = proxy.config
    return Bounds(
        most,
        config.timing.request_timeout,
        int(config.concurrency.max_bodies_mb * _MEGABYTE),
        parsed(config.trusted_proxies),
    )


def _observe(app: FastAPI, route: str, method: str, status: str, seconds: float) -> None:
    proxy = _running(app)
    if proxy is not None:
        proxy.metrics.http.of(route, method, status).observe(seconds)
