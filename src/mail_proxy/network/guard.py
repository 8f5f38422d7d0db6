"""Connections to hosts that a tenant chose are made to permitted addresses only."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

from mail_proxy.config import ProxyConfig
from mail_proxy.domain.networks import (
    LOOPBACK,
    Network,
    find_address,
    is_in,
    is_public,
    parsed,
    without_translation,
)

#: A host with more addresses is tried at the first ones.
_MOST_ADDRESSES = 16
#: Start of the next attempt while the previous one is still waiting (RFC 8305, section 5).
_STAGGER_SECONDS = 0.25
#: Forms of an IPv4 address that ``getaddrinfo`` takes: 127.1, 0x7f000001, 2130706433, 0177.0.0.1.
_NUMERIC = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)(\.(0[xX][0-9a-fA-F]*|[0-9]+)){0,3}\.?")

Connected = TypeVar("Connected")
#: Family and address of a socket, as ``getaddrinfo`` returns them.
SocketAddress = tuple[int, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


class RefusedAddressError(OSError):
    """All addresses of a host are outside of the permitted networks.

    The text names the setting, and no address: addresses of internal names stay secret.
    """

    def __init__(self, host: str, setting: str = "allow_private_networks") -> None:
        super().__init__(
            f"the host has no public address; {setting} (GMP_{setting.upper()}) permits others"
        )
        self.host = host


@dataclass(frozen=True)
class NetworkGuard:
    """Connects to public addresses, and to those in ``allowed``.

    A name is resolved once, and the connection is made to an address that was checked, so that a
    name server that answers differently the second time gains nothing. ``private_allowed`` lifts
    the limit, for hosts that the administrator has saved. ``setting`` names ``allowed``.
    """

    allowed: tuple[Network, ...] = parsed(LOOPBACK)
    setting: str = "allow_private_networks"

    @classmethod
    def of(cls, config: ProxyConfig) -> NetworkGuard:
        """Return the guard of what tenants have saved: hosts of accounts and URLs."""
        return cls(parsed(config.private_networks))

    @classmethod
    def of_attachments(cls, config: ProxyConfig) -> NetworkGuard:
        """Return the guard of URLs in messages, which has a setting of its own."""
        return cls(parsed(config.attachments.allow_private_urls), "allow_private_urls")

    def permits(self, text: str) -> bool:
        """Return whether an IP address, as sockets show it, may be connected to."""
        written = find_address(text)
        if written is None:
            return False
        reached = without_translation(written)
        return is_public(reached) or is_in(reached, self.allowed) or is_in(written, self.allowed)

    async def find(self, host: str, port: int, *, private_allowed: bool) -> Sequence[SocketAddress]:
        """Resolve a host, and return the addresses that may be connected to.

        Raises RefusedAddressError if there is none, and the errors of ``getaddrinfo``.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        permitted = [
            (family, address)
            for family, _, _, _, address in found
            if private_allowed or self.permits(str(address[0]))
        ]
        if not permitted:
            raise RefusedAddressError(host, self.setting)
        return permitted[:_MOST_ADDRESSES]

    async def connect(self, host: str, port: int, *, private_allowed: bool) -> socket.socket:
        """Return a connected socket. Its time must be limited by the caller."""
        addresses = await self.find(host, port, private_allowed=private_allowed)
        return await first_connected(addresses, _open, _close)

    def refuse_written(self, host: str) -> None:
        """Raise RefusedAddressError if a host is written as an address or as localhost.

        It is for calls through an outgoing proxy, which resolves names itself.
        """
        written = host.removeprefix("[").removesuffix("]").removesuffix(".")
        if _NUMERIC.fullmatch(written):
            try:
                written = socket.inet_ntoa(socket.inet_aton(written))
            except OSError:
                raise RefusedAddressError(host, self.setting) from None
        is_local = written.lower() == "localhost" or written.lower().endswith(".localhost")
        if is_local:
            written = "127.0.0.1"
        if find_address(written) is not None and not self.permits(written):
            raise RefusedAddressError(host, self.setting)


async def first_connected(
    addresses: Sequence[SocketAddress],
    connect: Callable[[SocketAddress], Awaitable[Connected]],
    close: Callable[[Connected], Awaitable[None]],
) -> Connected:
    """Return the first connection that succeeds; raise the first error if none does.

    Each attempt begins when the previous one has failed, or after a quarter of a second. The
    attempts that lose are cancelled, and closed if they were just connected.
    """
    waiting = list(addresses)
    running: set[asyncio.Task[Connected]] = set()
    errors: list[BaseException] = []
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(connect(waiting.pop(0))))
            done, running = await asyncio.wait(
                running,
                timeout=_STAGGER_SECONDS if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in list(done):
                if (error := task.exception()) is None:
                    running |= done - {task}
                    return task.result()
                done.discard(task)
                errors.append(error)
    finally:
        for task in running:
            task.cancel()
        for result in await asyncio.gather(*running, return_exceptions=True):
            if not isinstance(result, BaseException):
                await close(result)
    raise errors[0]


async def _open(place: SocketAddress) -> socket.socket:
    family, address = place
    opened = socket.socket(family, socket.SOCK_STREAM)
    with ExitStack() as unless_connected:
        unless_connected.callback(opened.close)
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(opened, address)
        unless_connected.pop_all()
    return opened


async def _close(opened: socket.socket) -> None:
    opened.close()
