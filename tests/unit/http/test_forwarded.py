"""Whose address counts if a request came through reverse proxies."""

from __future__ import annotations

import pytest

from mail_proxy.domain.networks import parsed
from mail_proxy.http.forwarded import forwarded

TRUSTED = parsed(("127.0.0.0/8", "10.0.0.0/8", "2001:db8:1::/48"))
PROXY = ("10.0.0.1", 40000)


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("198.51.100.1, 192.0.2.1", "192.0.2.1"),
        ("198.51.100.1,192.0.2.1,10.9.9.9, 10.8.8.8", "192.0.2.1"),
        ("nonsense, 192.0.2.1", "192.0.2.1"),
        ("10.9.9.9, 10.8.8.8", "10.9.9.9"),
        ("192.0.2.1, nonsense", None),
        ("nonsense", None),
        ("unknown", None),
        ("localhost", None),
        ("127.1", None),
        ("0x7f000001", None),
        ("2130706433", None),
        ("192.0.2.01", None),
        ("192.0.2.1 198.51.100.1", None),
        ("'; DROP TABLE tenant; --", None),
        ("\x9b31m", None),
        ("", None),
        (",", None),
        (", ".join(["10.0.0.1"] * 5000), None),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_no_trusted_proxy(
    chain: str, client: str | None
) -> None:
    headers = [(b"x-forwarded-for", chain.encode("latin-1"))]
    expected = {} if client is None else {"client": (client, 0)}
    assert forwarded(PROXY, headers, TRUSTED) == expected


def test_several_headers_are_one_chain() -> None:
    headers = [(b"x-forwarded-for", b"198.51.100.1"), (b"x-forwarded-for", b"192.0.2.1")]
    assert forwarded(PROXY, headers, TRUSTED) == {"client": ("192.0.2.1", 0)}


@pytest.mark.parametrize("peer", ["192.0.2.1", "::1", "2001:db8:2::1", "local"])
def test_headers_of_an_address_that_is_not_trusted_change_nothing(peer: str) -> None:
    headers = [(b"x-forwarded-for", b"198.51.100.1"), (b"x-forwarded-proto", b"https")]
    assert forwarded((peer, 1), headers, TRUSTED) == {}


@pytest.mark.parametrize("peer", [("127.0.0.1", 1), ("::ffff:10.2.3.4", 1), None])
def test_trusted_are_ipv4_addresses_on_ipv6_sockets_and_unix_sockets(
    peer: tuple[str, int] | None,
) -> None:
    headers = [(b"x-forwarded-for", b"198.51.100.1")]
    assert forwarded(peer, headers, TRUSTED) == {"client": ("198.51.100.1", 0)}


@pytest.mark.parametrize(
    ("value", "scheme"),
    [(b"https", "https"), (b"HTTP", "http"), (b"http, https", "https"), (b"javascript", None)],
)
def test_the_scheme_is_the_last_one_that_is_http(value: bytes, scheme: str | None) -> None:
    expected = {} if scheme is None else {"scheme": scheme}
    assert forwarded(PROXY, [(b"x-forwarded-proto", value)], TRUSTED) == expected
