"""Seam to uvicorn: its listening, signals and lifespan, with our connections."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast
from urllib.parse import unquote

import httptools
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from mail_proxy.config import ProxyConfig
from mail_proxy.http.connections import Connections
from mail_proxy.http.exchange import Exchange, Headers
from mail_proxy.http.limits import HttpLimits
from mail_proxy.http.protocol import HttpProtocol
from mail_proxy.http.short_way import ShortWay
from mail_proxy.kit.process_watch import ProcessWatch
from mail_proxy.telemetry.log import Action, log

_ASGI = {"version": "3.0", "spec_version": "2.3"}
#: Key of the application's short way in the state of its lifespan (ASGI).
SHORT_WAY = "mail_proxy.short_way"


class BoundedHttp:
    """Factory of a uvicorn server's connections, for ``uvicorn.Config(http=...)``.

    uvicorn calls it with its configuration, its state and the lifespan's state. It reads from
    these, and calls ``shutdown()`` on the members of ``server_state.connections``.
    """

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._server: Server | None = None

    def __call__(
        self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None
    ) -> HttpProtocol:
        """Make the protocol of one connection."""
        if self._server is None:
            self._server = Server(config, server_state, app_state, self._limits)
        return HttpProtocol(self._server)


class Server:
    """State that the connections of one uvicorn server share."""

    def __init__(
        self, config: Any, server_state: Any, app_state: dict[str, Any], limits: HttpLimits
    ) -> None:
        self.limits = limits
        self.keep_alive_seconds: float = config.timeout_keep_alive
        self._loop = asyncio.get_running_loop()
        most = min(limits.connections, config.limit_concurrency or limits.connections)
        self.connections = Connections(most, self._loop.time)
        self._app: ASGIApp = _without_proxy_headers(config.loaded_app)
        self._root_path: str = config.root_path
        self._state = server_state
        self._app_state = app_state
        self._short: ShortWay | None = app_state.get(SHORT_WAY)

    @property
    def default_headers(self) -> Headers:
        """Headers of every answer, such as the date."""
        headers: Headers = self._state.default_headers
        return headers

    def opened(self, connection: HttpProtocol) -> None:
        """Let uvicorn wait for the connection when it stops."""
        self._state.connections.add(connection)

    def closed(self, connection: HttpProtocol) -> None:
        """Forget a connection."""
        self._state.connections.discard(connection)

    def count(self) -> None:
        """Count an answer."""
        self._state.total_requests += 1

    def may_be_short(self, exchange: Exchange) -> bool:
        """Return whether a request is worth to be awaited whole, by its head."""
        return self._short is not None and self._short.suits(exchange)

    def serve_short(self, exchange: Exchange, connection: HttpProtocol) -> bool:
        """Begin with a whole request on the short way; False if that cannot answer it."""
        assert self._short is not None
        scope = self._scope(exchange, connection, exchange.target, b"")
        pending = self._short.begin(exchange, scope)
        if pending is None:
            return False
        self._state.tasks.add(pending)
        pending.add_done_callback(partial(self._short_ended, exchange, connection, scope))
        return True

    def _short_ended(
        self,
        exchange: Exchange,
        connection: HttpProtocol,
        scope: Scope,
        pending: asyncio.Future[Any],
    ) -> None:
        self._state.tasks.discard(pending)
        assert self._short is not None
        is_over = True
        try:
            is_over = pending.cancelled() or self._short.answer(exchange, scope, pending)
        finally:
            if is_over:
                connection.ended(exchange, failed=not pending.cancelled())
        if not is_over:
            self.serve(exchange, connection)

    def serve(self, exchange: Exchange, connection: HttpProtocol) -> bool:
        """Start the application; False if the target of the request is not a path."""
        try:
            raw_path, query = _split_target(exchange.target)
            raw_path.decode("ascii")
        except (UnicodeDecodeError, httptools.HttpParserInvalidURLError):
            return False
        scope = self._scope(exchange, connection, raw_path, query)
        task = self._loop.create_task(exchange.run(self._app, scope))
        self._state.tasks.add(task)
        task.add_done_callback(partial(self._ended, exchange, connection, scope["state"]))
        return True

    def _scope(
        self, exchange: Exchange, connection: HttpProtocol, raw_path: bytes, query: bytes
    ) -> Scope:
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": exchange.version,
            "server": connection.server_address,
            "client": connection.client_address,
            "scheme": connection.scheme,
            "root_path": self._root_path,
            "headers": exchange.headers,
            "state": self._app_state.copy(),
            "method": exchange.method,
            "path": self._root_path + (unquote(path) if "%" in path else path),
            "raw_path": self._root_path.encode("ascii") + raw_path,
            "query_string": query,
        }

    def _ended(
        self,
        exchange: Exchange,
        connection: HttpProtocol,
        state: dict[str, Any],
        task: asyncio.Task[None],
    ) -> None:
        self._state.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        # A 500 is the answer of the application's own handler, which has logged the error.
        if error is not None and exchange.status != 500:
            log(Action.REQUEST_FAILED, exception=error, request_id=state.get("request_id"))
        connection.ended(exchange, failed=not task.cancelled())


class Application(FastAPI):
    """FastAPI application that adds ``BoundedHttp`` to a uvicorn started without it.

    So ``uvicorn mail_proxy.server:app`` has the bounds of ``mail-proxy start``. uvicorn has no
    interface for an application that chooses its protocol; its configuration is reached through
    the ``receive`` of the lifespan, before the first connection is accepted. Another server keeps
    its own protocol, which is logged. ``state.proxy`` holds the running proxy, ``state.host``
    uvicorn's own host, which decides whether the service listens on loopback only. ``short_way``
    is offered to the connections in the state of the lifespan.
    """

    short_way: ShortWay | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await super().__call__(scope, receive, send)
            return
        self.state.host = _host_of(receive)
        if self.short_way is not None:
            scope.setdefault("state", {})[SHORT_WAY] = self.short_way
        watch: ProcessWatch | None = None

        async def send_started(message: Message) -> None:
            nonlocal watch
            if message["type"] == "lifespan.startup.complete":
                _bring(receive, self.state.proxy.config)
                watch = ProcessWatch(self.state.proxy.release_memory)
                watch.start()
            await send(message)

        async def receive_shutdown() -> Message:
            message = await receive()
            # The watch works on the proxy, so it ends before the proxy does.
            if message["type"] == "lifespan.shutdown" and watch is not None:
                await watch.stop()
            return message

        try:
            await super().__call__(scope, receive_shutdown, send_started)
        finally:
            if watch is not None:
                await watch.stop()


def _bring(receive: Receive, settings: ProxyConfig) -> None:
    config = getattr(getattr(receive, "__self__", None), "config", None)
    protocol = getattr(config, "http_protocol_class", None)
    if config is None or protocol is None:
        log(Action.SERVER_UNKNOWN)
    elif not isinstance(protocol, BoundedHttp):
        config.http_protocol_class = BoundedHttp(HttpLimits.of(settings))


def _host_of(receive: Receive) -> str | None:
    """Return the host that a uvicorn listens on that was started without this program."""
    config = getattr(getattr(receive, "__self__", None), "config", None)
    if config is None or isinstance(config.http_protocol_class, BoundedHttp):
        return None
    host: str | None = None if config.uds or config.fd is not None else config.host
    return host


def _without_proxy_headers(app: Any) -> ASGIApp:
    """Remove uvicorn's middleware for reverse proxies from an application.

    The middleware believes any text as an address.

    The setting ``trusted_proxies`` takes its place.
    """
    return cast(ASGIApp, app.app if isinstance(app, ProxyHeadersMiddleware) else app)


def _split_target(target: bytes) -> tuple[bytes, bytes]:
    """Return path and query of a request's target, which may also be a whole URL."""
    if target.startswith(b"/"):
        path, _, query = target.partition(b"#")[0].partition(b"?")
        return path, query
    url = httptools.parse_url(target)
    return url.path or b"/", url.query or b""
