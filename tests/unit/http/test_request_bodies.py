"""Bodies of requests: behind a request that is being answered, and during a stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import Receive, Scope, Send

from mail_proxy.http.limits import HttpLimits
from mail_proxy.http.uvicorn_server import BoundedHttp

_LIMITS = HttpLimits(request_seconds=30.0, connections=10)
_GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
_POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


class _Counting:
    """ASGI application that answers with the size of the body."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, more = size + len(message["body"]), message["more_body"]
            self.begun.set()
        answer = f"[{size}]".encode()
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


@asynccontextmanager
async def _serving(app: _Counting) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    http = BoundedHttp(_LIMITS)
    server = uvicorn.Server(
        uvicorn.Config(app, http=http, lifespan="off", log_config=None, port=0)  # type: ignore[arg-type]
    )
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    try:
        yield server, server.servers[0].sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


async def test_a_body_behind_a_request_that_is_answered_is_read() -> None:
    async with _serving(_Counting()) as (_, port), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_GET + _POST % 200_000 + b"x" * 200_000 + _GET)
        for answer in (b"[0]", b"[200000]", b"[0]"):
            await reader.readuntil(answer)
        writer.close()


async def test_a_body_that_still_arrives_is_read_during_a_stop() -> None:
    app = _Counting()
    async with _serving(app) as (server, port), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_POST % 10 + b"first")
        await app.begun.wait()
        for connection in list(server.server_state.connections):
            connection.shutdown()
        writer.write(b"later" + _GET)
        # The request after it is not answered: the connection ends.
        assert (await reader.read()).endswith(b"[10]")
        writer.close()


async def test_a_body_whose_length_is_not_seen_is_no_second_request() -> None:
    many = b"".join(b"X-%d: 1\r\n" % number for number in range(110))
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n" + many
    hidden = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    async with _serving(_Counting()) as (_, port), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(hidden) + hidden)
        assert (await reader.read()).count(b"HTTP/1.1 200") <= 1
        writer.close()


async def test_a_client_of_http_1_0_is_not_told_to_continue() -> None:
    async with _serving(_Counting()) as (_, port), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        writer.write(head + b"ab")
        answer = await reader.read()
        assert b"100 Continue" not in answer
        assert answer.endswith(b"[2]")
        writer.close()
