"""The ASGI application over one MailProxy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from mail_proxy.api import errors
from mail_proxy.api.edge import Edge
from mail_proxy.api.routes import accounts, messages, service, suspension, sync_log, tenants
from mail_proxy.config import ProxyConfig, QueueConfig
from mail_proxy.proxy import MailProxy, version

_MEGABYTE = 1_000_000


def build_app(load: Callable[[], ProxyConfig]) -> FastAPI:
    """The application; ``load`` is called when its lifespan begins, not before."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        proxy = await MailProxy.create(load())
        app.state.proxy = proxy
        try:
            yield
        finally:
            app.state.proxy = None
            await proxy.stop()

    app = FastAPI(
        title="Genro Mail Proxy",
        version=version(),
        description="Durable mail queue between applications and SMTP servers.",
        lifespan=lifespan,
    )
    errors.install(app)
    for module in (service, messages, suspension, accounts, tenants, sync_log):
        app.include_router(module.router)
    app.add_middleware(Edge, max_body_bytes=lambda: _max_body_bytes(app))
    _add_extra_schemas(app)
    return app


def _max_body_bytes(app: FastAPI) -> int:
    proxy: MailProxy | None = getattr(app.state, "proxy", None)
    queue = QueueConfig() if proxy is None else proxy.config.queue
    return int(queue.max_body_mb * _MEGABYTE)


def _add_extra_schemas(app: FastAPI) -> None:
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schemas = plain().setdefault("components", {}).setdefault("schemas", {})
            for model in messages.EXTRA_MODELS:
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update(schema.pop("$defs", {}))
                schemas[model.__name__] = schema
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
