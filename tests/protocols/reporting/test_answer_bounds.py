"""Answers of applications that do not end, or come in tiny pieces"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from tests.protocols.reporting.house import House

from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint

EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """An application whose answer to each call is written by a function; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def flood(start: bytes, block: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(block)
            await writer.drain()

    return answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (flood(b"", EARLY * 500), "more than 10 informational responses"),
        (flood(b"", EARLY), "more than 10 informational responses"),
        (flood(b"", b"HTTP/1.1 102 P\n\n" * 500), "more than 10 informational responses"),
        (flood(CHUNKED, b"1\r\n \r\n" * 1000), "the answer has too many chunks"),
        (flood(CHUNKED, b"1;" + b"x" * 60_000 + b"\r\n \r\n"), "the answer is larger than 2 MB"),
    ],
    ids=["103 in blocks", "103 one by one", "102 with bare LF", "tiny chunks", "chunk extensions"],
)
async def test_an_answer_without_end_is_given_up_and_says_why(
    house: House, answer: Answer, reason: str
) -> None:
    async with answering(answer) as url:
        await house.tenant(client_base_url=url)
        await house.event(["m"])
        await house.settled(await house.reporter())
    (kept,) = await house.logged()
    assert kept["outcome"] == "bad_answer"
    assert reason in kept["error"]


async def test_a_few_informational_responses_and_many_chunks_are_an_answer_like_any(
    house: House, endpoint: SyncEndpoint
) -> None:
    text = b'{"ok": true}' + b" " * 4000
    chunks = b"".join(b"1\r\n%c\r\n" % octet for octet in text)
    endpoint.script(Reply(raw=EARLY * 10 + CHUNKED + chunks + END))
    await house.tenant(client_base_url=endpoint.url)
    await house.event(["m"])
    await house.settled(await house.reporter())
    (kept,) = await house.logged()
    assert (kept["outcome"], kept["error"], kept["acknowledged"]) == ("ok", None, 1)
