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


#: Networks of IPv4 that are no public unicast addresses (IANA's registry of special addresses),
#: and 168.63.129.16, at which virtual machines of Azure reach their host.
_NOT_PUBLIC_4 = parsed(
    (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
#: All public addresses of IPv6 are in 2000::/3, except for these parts of it.
_UNICAST_6 = parsed(("2000::/3",))
_NOT_PUBLIC_6 = parsed(("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
#: Networks whose addresses hold an IPv4 address: prefix, and how far right it stands, bits.
_TRANSLATED = ((parsed(("64:ff9b::/96",)), 0), (parsed(("2002::/16",)), 80))


def without_translation(address: Address) -> Address:
    """Return the IPv4 address behind a NAT64 or 6to4 address; others as they are.

    NAT64 is RFC 6052, 6to4 is RFC 3056.
    """
    for networks, shift in _TRANSLATED:
        if is_in(address, networks):
            return ipaddress.IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Return whether an address belongs to a host of the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return not is_in(address, _NOT_PUBLIC_4)
    return is_in(address, _UNICAST_6) and not is_in(address, _NOT_PUBLIC_6)
