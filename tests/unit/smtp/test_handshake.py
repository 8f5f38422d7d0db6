"""What is decided before a connection is opened."""

from __future__ import annotations

import pytest

from mail_proxy.domain.account import TlsMode
from mail_proxy.smtp.handshake import (
    address_literal,
    full_host_name,
    may_log_in_unencrypted,
)


@pytest.mark.parametrize(
    ("mode", "peer", "allowed"),
    [
        (TlsMode.NONE, "192.0.2.1", True),
        (TlsMode.AUTO, "192.0.2.1", False),
        (TlsMode.AUTO, "127.0.0.1", True),
        (TlsMode.AUTO, "::1", True),
        (TlsMode.AUTO, "fe80::1%eth0", False),
    ],
)
def test_a_password_in_the_clear(mode: TlsMode, peer: str, allowed: bool) -> None:
    assert may_log_in_unencrypted(mode, peer) is allowed


@pytest.mark.parametrize(
    ("host", "said"), [("mail.example.org", "mail.example.org"), ("laptop", None), ("a b.c", None)]
)
def test_the_name_in_ehlo(monkeypatch: pytest.MonkeyPatch, host: str, said: str | None) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert full_host_name.__wrapped__() == said


@pytest.mark.parametrize(
    ("address", "literal"),
    [("192.0.2.7", "[192.0.2.7]"), ("fe80::1%eth0", "[IPv6:fe80::1]"), ("::1", "[IPv6:::1]")],
)
def test_an_address_in_ehlo(address: str, literal: str) -> None:
    assert address_literal(address) == literal
