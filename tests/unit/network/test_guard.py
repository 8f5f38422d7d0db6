"""Which addresses may be connected to, in all their forms."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from mail_proxy.config import ProxyConfig
from mail_proxy.domain.networks import parsed
from mail_proxy.network.guard import NetworkGuard, RefusedAddressError, first_connected

NOWHERE = NetworkGuard(())

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "193.0.0.1",
    "223.255.255.254",
    "2606:4700:4700::1111",
    "2a00:1450:4002::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]
INNER = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:c0a8:101::",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "100::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "localhost",
    "nonsense",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_permitted(address: str) -> None:
    assert NOWHERE.permits(address)


@pytest.mark.parametrize("address", INNER)
def test_all_others_are_refused(address: str) -> None:
    assert not NOWHERE.permits(address)


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("10.1.0.0/16", "10.1.2.3"),
        ("10.1.0.0/16", "::ffff:10.1.2.3"),
        ("10.1.0.0/16", "64:ff9b::10.1.2.3"),
        ("10.1.0.0/16", "2002:a01:203::1"),
        ("127.0.0.0/8", "127.8.9.10"),
        ("::1/128", "::1"),
        ("fd00::/8", "fd12::1"),
        ("fe80::/10", "fe80::1%eth0"),
    ],
)
def test_a_listed_network_is_permitted_and_nothing_beside_it(network: str, address: str) -> None:
    guard = NetworkGuard(parsed((network,)))
    assert guard.permits(address)
    assert not guard.permits("192.168.1.1")
    assert not guard.permits("10.2.0.1")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "0:0:0:0:0:0:0:1",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
    ],
)
async def test_every_spelling_of_an_inner_host_is_refused(host: str) -> None:
    with pytest.raises(RefusedAddressError, match="GMP_ALLOW_PRIVATE_NETWORKS"):
        await NOWHERE.find(host, 25, private_allowed=False)
    assert await NOWHERE.find(host, 25, private_allowed=True)
    if ":" not in host:
        with pytest.raises(RefusedAddressError):
            NOWHERE.refuse_written(host)


def test_names_are_left_to_an_outgoing_proxy() -> None:
    for host in ("mail.example", "8.8.8.8", "[2606:4700:4700::1111]", "123.example"):
        NOWHERE.refuse_written(host)
    for host in ("[::1]", "[::ffff:10.0.0.1]", "app.localhost", "10.0.0.1."):
        with pytest.raises(RefusedAddressError):
            NOWHERE.refuse_written(host)


def _answers(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let the name server give these answers, one for each question; returns the questions."""
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


async def test_the_connection_goes_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.2", 0)) as permitted:
        port = permitted.getsockname()[1]
        guard = NetworkGuard(parsed(("127.0.0.2/32",)))
        for answers in ([["127.0.0.2"], ["127.0.0.1"]], [["127.0.0.1", "127.0.0.2"]]):
            asked = _answers(monkeypatch, *answers)
            opened = await guard.connect("rebind.example", port, private_allowed=False)
            with opened:
                assert opened.getpeername()[0] == "127.0.0.2"
            assert asked == ["rebind.example"]


async def test_no_name_server_leads_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    _answers(monkeypatch, ["10.0.0.1", "169.254.169.254"])
    with pytest.raises(RefusedAddressError) as refused:
        await NOWHERE.connect("inner.example", 25, private_allowed=False)
    assert "10.0.0.1" not in str(refused.value)


async def test_the_next_address_is_tried_and_losers_are_closed() -> None:
    closed: list[str] = []

    async def connect(place: Any) -> str:
        name: str = place[1][0]
        if name == "hangs":
            await asyncio.Event().wait()
        if name == "fails":
            raise ConnectionRefusedError(name)
        return name

    async def close(name: str) -> None:
        closed.append(name)

    def places(*names: str) -> list[Any]:
        return [(2, (name, 1)) for name in names]

    assert await first_connected(places("fails", "good", "other"), connect, close) == "good"
    assert await first_connected(places("hangs", "good"), connect, close) == "good"
    assert closed == []
    with pytest.raises(ConnectionRefusedError):
        await first_connected(places("fails", "fails"), connect, close)


def test_loopback_is_permitted_while_the_service_listens_there_alone() -> None:
    for host, is_permitted in (("127.0.0.1", True), ("::1", True), ("localhost", True)):
        assert NetworkGuard.of(ProxyConfig(host=host)).permits("127.0.0.1") is is_permitted
    beyond = ProxyConfig(host="0.0.0.0")
    assert not NetworkGuard.of(beyond).permits("127.0.0.1")
    listed = beyond.model_copy(update={"allow_private_networks": ("127.0.0.0/8",)})
    assert NetworkGuard.of(listed).permits("127.0.0.1")
    none = ProxyConfig.model_validate({"allow_private_networks": "none"})
    assert not NetworkGuard.of(none).permits("127.0.0.1")
