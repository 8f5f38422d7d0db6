"""The client of a request that came through a reverse proxy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mail_proxy.domain.networks import Network, find_address, is_in

#: The address of a client on a Unix socket, which only this machine can open.
_UNIX_SOCKET = "127.0.0.1"
#: Longer chains of reverse proxies are not believed.
_MOST_HOPS = 20
_FOR = b"x-forwarded-for"
_SCHEME = b"x-forwarded-proto"


def forwarded(
    client: tuple[str, int] | None,
    headers: Iterable[tuple[bytes, bytes]],
    trusted: tuple[Network, ...],
) -> dict[str, Any]:
    """Return the members of an ASGI scope that a trusted reverse proxy replaces.

    ``client`` is the rightmost address of ``X-Forwarded-For`` that is not itself in ``trusted``:
    everything left of it is the client's own claim. ``scheme`` is the last one of
    ``X-Forwarded-Proto``. A header from any other address changes nothing, and neither does
    one without an address in the place of the client's.
    """
    chain, schemes = [], []
    for name, value in headers:
        if name == _FOR:
            chain.append(value)
        elif name == _SCHEME:
            schemes.append(value)
    if not (chain or schemes):
        return {}
    peer = find_address(client[0] if client else _UNIX_SOCKET)
    if peer is None or not is_in(peer, trusted):
        return {}
    replaced: dict[str, Any] = {}
    address = _client_of(b",".join(chain).decode("latin-1"), trusted) if chain else None
    if address is not None:
        replaced["client"] = (address, 0)
    scheme = schemes[-1].rpartition(b",")[2].strip().lower() if schemes else b""
    if scheme in (b"http", b"https"):
        replaced["scheme"] = scheme.decode()
    return replaced


def _client_of(chain: str, trusted: tuple[Network, ...]) -> str | None:
    hops = chain.rsplit(",", _MOST_HOPS)
    for place in range(len(hops) - 1, -1, -1):
        address = find_address(_without_port(hops[place].strip()))
        if address is None:
            return None
        if place == 0 or not is_in(address, trusted):
            return str(address)
    return None


def _without_port(text: str) -> str:
    """Return the address of ``192.0.2.1:1234`` and ``[2001:db8::1]:1234``."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
