"""A proxy with an HTTP port, and the WSGI and ASGI applications that it reports to."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import uvicorn
from pydantic import SecretStr
from tests.harness.patience import PATIENCE_SECONDS

from mail_proxy.client import MailProxyClient
from mail_proxy.config import ProxyConfig, TimingConfig
from mail_proxy.server import build_app
from mail_proxy.testing.smtp_server import AcceptedMail, ScriptedSmtpServer

TOKEN = "admin-token"
SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"


@dataclass
class Service:
    """A running proxy: its address, a client, and the mails that its SMTP server got."""

    url: str
    client: MailProxyClient
    smtp: ScriptedSmtpServer
    loop: asyncio.AbstractEventLoop

    def mail_to(self, recipient: str) -> tuple[AcceptedMail, EmailMessage]:
        """Return the next mail to a recipient, once it has arrived."""

        async def arrived() -> AcceptedMail:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    for mail in self.smtp.accepted:
                        if recipient in mail.recipients:
                            self.smtp.accepted.remove(mail)
                            return mail
                    await asyncio.sleep(0.01)

        mail = asyncio.run_coroutine_threadsafe(arrived(), self.loop).result()
        parsed = message_from_bytes(mail.data, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return mail, parsed


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("proxy")
    with ExitStack() as stack:
        loop = stack.enter_context(_loop_in_thread())
        smtp = ScriptedSmtpServer()
        _run(loop, smtp.__aenter__())
        url = stack.enter_context(_serving(loop, _app(folder)))
        client = stack.enter_context(MailProxyClient(url, TOKEN))
        client.accounts.add(id="smtp", host=smtp.host, port=smtp.port, tls="none")
        yield Service(url, client, smtp, loop)
        _run(loop, smtp.__aexit__(None, None, None))


@pytest.fixture
def reported_to(service: Service) -> Iterator[Callable[[str], None]]:
    """Make the proxy send its reports to an address."""

    def report(url: str) -> None:
        service.client.tenants.update("default", client_base_url=url, signing_secret=SECRET)

    yield report
    service.client.tenants.update("default", client_base_url=None)


@pytest.fixture
def wsgi_server() -> Iterator[Callable[[Any], str]]:
    """Serve WSGI applications until the end of the test; returns the address of one."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(_wsgi(app))


@pytest.fixture
def asgi_server(service: Service) -> Iterator[Callable[[Any], str]]:
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(_serving(service.loop, app))


def _app(folder: Path) -> Any:
    key_file = folder / "encryption_key"
    key_file.write_bytes(bytes(32))
    config = ProxyConfig(
        db_path=str(folder / "mail.db"),
        key_file=key_file,
        api_token=SecretStr(TOKEN),
        timing=TimingConfig(report_delay=0.01),
    )
    return build_app(lambda: config)


@contextmanager
def _loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _run(loop: asyncio.AbstractEventLoop, coroutine: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(PATIENCE_SECONDS)


@contextmanager
def _serving(loop: asyncio.AbstractEventLoop, app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on"))
    started = asyncio.run_coroutine_threadsafe(_start(server), loop)
    port = started.result(PATIENCE_SECONDS)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        _run(loop, _stopped(server))


async def _start(server: uvicorn.Server) -> int:
    config = server.config
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    server.main_task = asyncio.create_task(server.main_loop())  # type: ignore[attr-defined]
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


async def _stopped(server: uvicorn.Server) -> None:
    await server.main_task  # type: ignore[attr-defined]
    await server.shutdown()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _wsgi(app: Any) -> Iterator[str]:
    with make_server("127.0.0.1", 0, app, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
