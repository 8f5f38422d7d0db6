"""How long the protocol waits: one timer serves many waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from mail_proxy.smtp.protocol import BrokenConnectionError, SmtpProtocol
from mail_proxy.smtp.replies import Reply


class Peer(asyncio.Protocol):
    """The other end, which says what the test writes to its transport."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)


@pytest.fixture
async def ends() -> AsyncIterator[tuple[SmtpProtocol, Peer]]:
    """A protocol and the peer that it is connected to."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Queue[Peer] = asyncio.Queue()

    class Accepting(Peer):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            accepted.put_nowait(self)

    server = await loop.create_server(Accepting, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
    protocol = SmtpProtocol(transport)
    peer = await accepted.get()
    yield protocol, peer
    protocol.abort()
    peer.transport.abort()
    await protocol.wait_closed()
    server.close()
    await server.wait_closed()


async def test_a_shorter_wait_after_a_longer_one(ends: tuple[SmtpProtocol, Peer]) -> None:
    protocol, peer = ends
    protocol.expect(2)
    peer.transport.write(b"250 first\r\n")
    assert await protocol.reply(100) == Reply(250, "first")
    with pytest.raises(BrokenConnectionError, match="timed out"):
        await protocol.reply(0.02)


async def test_a_longer_wait_after_a_shorter_one(ends: tuple[SmtpProtocol, Peer]) -> None:
    protocol, peer = ends
    protocol.expect(2)
    peer.transport.write(b"250 first\r\n")
    await protocol.reply(0.05)
    asyncio.get_running_loop().call_later(0.15, peer.transport.write, b"250 second\r\n")
    assert await protocol.reply(100) == Reply(250, "second")


async def test_replies_in_pieces(ends: tuple[SmtpProtocol, Peer]) -> None:
    protocol, peer = ends
    protocol.expect(3)
    for octet in b"250-one\r\n250 two\r\n354\r\n550 \xc3\xa8\r\n":
        peer.transport.write(bytes([octet]))
    replies = [await protocol.reply(20) for _ in range(3)]
    assert replies == [Reply(250, "one two"), Reply(354, ""), Reply(550, "è")]
    assert protocol.broken is None


async def test_replies_that_came_before_the_end_are_given(
    ends: tuple[SmtpProtocol, Peer],
) -> None:
    protocol, peer = ends
    protocol.expect(2)
    peer.transport.write(b"250 taken\r\n")
    peer.transport.close()
    await protocol.wait_closed()
    assert await protocol.reply(20) == Reply(250, "taken")
    with pytest.raises(BrokenConnectionError, match="closed"):
        await protocol.reply(20)
