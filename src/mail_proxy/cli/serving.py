"""Runs the HTTP server of an instance in this process until a signal ends it."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.supervisors import ChangeReload

import mail_proxy
from mail_proxy.cli.instance import Instance
from mail_proxy.cli.listening import local_url, open_socket, refuse_open_doors
from mail_proxy.cli.output import without_password
from mail_proxy.cli.process import Running
from mail_proxy.config import ProxyConfig
from mail_proxy.errors import MailProxyError
from mail_proxy.http.limits import HttpLimits
from mail_proxy.http.uvicorn_server import BoundedHttp
from mail_proxy.kit.garbage import freeze_loaded_objects
from mail_proxy.server import create_app
from mail_proxy.settings import LoadedConfig, settings


@dataclass(frozen=True)
class Serving:
    """Server of one instance, with its settings and those given on the command line."""

    instance: Instance
    loaded: LoadedConfig
    command_line: Mapping[str, Any]
    reload: bool = False

    def run(self, on_started: Callable[[Running], None]) -> None:
        """Serve until SIGTERM or SIGINT, then finish deliveries in progress.

        Raises Conflict if the instance is running already, or the error that stopped the start.
        """
        refuse_open_doors(self.loaded)
        with closing(open_socket(self.loaded)) as listener, self.instance.pid_file.hold() as held:
            running = self._describe(listener)
            held.write(running)
            config = self.loaded.config.model_copy(update={"port": running.port})
            if config.api_token is not None:
                self.instance.keep_token(config.api_token.get_secret_value())
            if self.reload:
                on_started(running)
                self._run_reloading(config, listener)
            else:
                _run(config, listener, lambda: on_started(running))

    def _describe(self, listener: socket.socket) -> Running:
        config = self.loaded.config
        port = listener.getsockname()[1]
        # Without the token, which has a file of its own.
        options = {
            name: value
            for name, value in self.command_line.items()
            if value is not None and name != "api_token"
        }
        return Running(
            pid=os.getpid(),
            url=local_url(config.host, port),
            host=config.host,
            port=port,
            database=without_password(config.db_path),
            shutdown_timeout=config.timing.shutdown_timeout,
            options=options,
        )

    def _run_reloading(self, config: ProxyConfig, listener: socket.socket) -> None:
        os.environ.update(as_environment(config, self.command_line))
        if self.instance.config_file.exists():
            os.environ.setdefault("GMP_CONFIG_FILE", str(self.instance.config_file))
        package = Path(mail_proxy.__path__[0])
        reloading = _uvicorn_config(
            "mail_proxy.server:create_app", config, factory=True, reload=True, reload_dirs=[package]
        )
        server = uvicorn.Server(reloading)
        ChangeReload(reloading, target=server.run, sockets=[listener]).run()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        freeze_loaded_objects()
        self._on_started()


class _StartupGuard:
    """ASGI wrapper that keeps a MailProxyError of the start for the command line.

    uvicorn would print a stack trace instead of the error's text.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.failure: MailProxyError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        failed: list[Message] = []

        async def hold_failure_back(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold_failure_back)
        except MailProxyError as error:
            if not failed:
                raise
            self.failure = error
            failed = [{"type": "lifespan.startup.failed", "message": ""}]
            logging.getLogger("uvicorn.error").disabled = True
        finally:
            for message in failed:
                await send(message)


def _run(config: ProxyConfig, listener: socket.socket, on_started: Callable[[], None]) -> None:
    app = _StartupGuard(create_app(config))
    server = _Server(_uvicorn_config(app, config), on_started)
    with _signals_end_with_success(server):
        try:
            server.run(sockets=[listener])
        except SystemExit:
            if app.failure is None:
                raise
    if app.failure is not None:
        raise app.failure


@contextmanager
def _signals_end_with_success(server: uvicorn.Server) -> Iterator[None]:
    """Exit with 0 when uvicorn raises the signal again after a clean stop."""

    def leave(number: int, frame: FrameType | None) -> None:
        if not server.started:
            raise SystemExit(0)

    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, leave) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _uvicorn_config(app: Any, config: ProxyConfig, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=BoundedHttp(HttpLimits.of(config)),  # type: ignore[arg-type]
        ws="none",
        interface="asgi3",
        lifespan="on",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=math.ceil(config.timing.shutdown_timeout),
        **more,
    )


def as_environment(config: ProxyConfig, command_line: Mapping[str, Any]) -> dict[str, str]:
    """Return environment variables for the process that ``--reload`` starts.

    They have the options of the command line, and settings that only the instance knows.
    """
    own = {
        "name": config.name,
        "db_path": config.db_path,
        "host": config.host,
        "key_file": config.key_file,
        "cache.cache_disk_dir": config.cache.cache_disk_dir,
        "api_token": config.api_token and config.api_token.get_secret_value(),
        **{dotted: value for dotted, value in command_line.items() if value is not None},
        "port": config.port,
    }
    variables = {setting.dotted: setting.variables[0] for setting in settings()}
    return {variables[dotted]: str(value) for dotted, value in own.items() if value is not None}
