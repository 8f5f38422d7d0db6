"""The service behind real HTTP connections, and a client that sends the octets of its requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson
import uvicorn
from starlette.types import Scope
from tests.harness.patience import PATIENCE_SECONDS

from mail_proxy.api.app import build_app
from mail_proxy.config import ProxyConfig
from mail_proxy.http.exchange import Exchange
from mail_proxy.http.limits import HttpLimits
from mail_proxy.http.short_way import ShortWay
from mail_proxy.http.uvicorn_server import BoundedHttp

ADD = "/commands/add-messages"
#: The same path, but not literally: so it takes the way of all requests.
ADD_LONG = "/commands/add-messages?"
TOKEN = "X-API-Token: admin-token"


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    def header(self, name: str) -> str | None:
        """A header's value, by its name in small letters."""
        return next((value for key, value in self.headers if key.lower() == name), None)


class CountedWay:
    """The short way of an application, with the number of requests that it has answered."""

    def __init__(self, way: ShortWay) -> None:
        self.answered = 0
        self._way = way

    def suits(self, exchange: Exchange) -> bool:
        return self._way.suits(exchange)

    def begin(self, exchange: Exchange, scope: Scope) -> asyncio.Future[Any] | None:
        return self._way.begin(exchange, scope)

    def answer(self, exchange: Exchange, scope: Scope, done: asyncio.Future[Any]) -> bool:
        answered = self._way.answer(exchange, scope, done)
        self.answered += answered
        return answered


class RawClient:
    """A client of one port. ``way`` counts what the service has answered on the short way."""

    def __init__(self, port: int, way: CountedWay, server: uvicorn.Server) -> None:
        self.port = port
        self.way = way
        self.server = server

    async def __call__(self, *pieces: bytes) -> Answer:
        """Send a request on a new connection, and return its answer."""
        async with self.connected() as (reader, writer):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await answer_from(reader)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                yield reader, writer
            finally:
                writer.close()

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self(request(method, path, body))
        assert answer.status == 200, answer
        return answer.json


def request(method: str, path: str, body: Any = None, *headers: str) -> bytes:
    """Return the octets of a request. Without headers it is the administrator's."""
    content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += headers or (TOKEN, "Content-Type: application/json")
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines):
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


async def answer_from(reader: asyncio.StreamReader) -> Answer:
    """Read the next answer of a connection, without 100 Continue."""
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    answer = Answer(int(status.split()[1]), headers, b"")
    if answer.status == 100:
        return await answer_from(reader)
    body = await reader.readexactly(int(answer.header("content-length") or 0))
    return answer._replace(body=body)


@asynccontextmanager
async def listening(config: ProxyConfig) -> AsyncIterator[RawClient]:
    """Run the service on a port of this machine, as ``mail-proxy start`` does."""
    app = build_app(lambda: config)
    assert app.short_way is not None
    app.short_way = way = CountedWay(app.short_way)
    http: Any = BoundedHttp(HttpLimits.of(config))
    settings = uvicorn.Config(
        app, http=http, interface="asgi3", lifespan="on", log_config=None, port=0, ws="none"
    )
    server = uvicorn.Server(settings)
    settings.load()
    server.lifespan = settings.lifespan_class(settings)
    await server.startup()
    try:
        yield RawClient(server.servers[0].sockets[0].getsockname()[1], way, server)
    finally:
        await server.shutdown()
