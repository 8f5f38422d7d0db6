"""IP networks in settings: read them, and look an address up in them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK = ("127.0.0.0/8", "::1/128")


def network_name(text: str) -> str:
    """Return a network in its usual form; ValueError for any other text."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ValueError(
            "allowed: IP networks such as 10.0.0.0/8 or fd00::/8, addresses, or none"
        ) from None


@cache
def parsed(names: tuple[str, ...]) -> tuple[Network, ...]:
    """Return the networks of a setting. Settings are few, so all are cached."""
    return tuple(ipaddress.ip_network(name) for name in names)


def find_address(text: str) -> Address | None:
    """Return an IP address, without its zone, or None for any other text.

    An IPv4 address that is written as an IPv6 one (``::ffff:192.0.2.1``) is returned as IPv4.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_in(address: Address, networks: Iterable[Network]) -> bool:
    """Return whether one of the networks has the address."""
    return any(address in network for network in networks if network.version == address.version)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by a loopback address or ``localhost``."""
    address = find_address(host.removeprefix("[").removesuffix("]"))
    if address is None:
        return host.lower() in ("localhost", "localhost.")
    return address.is_loopback
