"""Real servers on loopback, and what talks to them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trustme
import uvloop
from tests.protocols.smtp.sessions import PATIENT

from mail_proxy.domain.account import SmtpLogin, TlsMode
from mail_proxy.domain.mail import Address, Mail
from mail_proxy.smtp.compose import ComposedMail, compose
from mail_proxy.smtp.connection import Connector
from mail_proxy.smtp.pool import SMTPPool
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.testing.clock import FakeClock
from mail_proxy.testing.smtp_server import ScriptedSmtpServer


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Transports differ from loop to loop, so every test here runs on both."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
async def server() -> AsyncIterator[ScriptedSmtpServer]:
    async with ScriptedSmtpServer() as scripted:
        yield scripted


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def pool(clock: FakeClock, client_tls: ssl.SSLContext) -> AsyncIterator[SMTPPool]:
    connector = Connector(PATIENT, local_hostname="client.example", tls_context=client_tls)
    pool = SMTPPool(connector, clock=clock)
    yield pool
    await pool.close_all()


@pytest.fixture
def sender(pool: SMTPPool) -> SmtpSender:
    return SmtpSender(pool)


@pytest.fixture
def login() -> Callable[..., SmtpLogin]:
    def build(port: int, **changes: Any) -> SmtpLogin:
        values: dict[str, Any] = {
            "account_pk": "account-1",
            "version": 1,
            "host": "127.0.0.1",
            "port": port,
            "user": None,
            "password": None,
            "tls": TlsMode.AUTO,
            "verify_cert": True,
            "ttl_seconds": 300.0,
            "batch_size": 100,
            "max_connections": 2,
        }
        return SmtpLogin(**(values | changes))

    return build


@pytest.fixture
def message() -> Callable[..., ComposedMail]:
    def build(body: str = "Hello\n", *, to: str = "ann@example.org") -> ComposedMail:
        sender = Address("Shop", "shop@example.com")
        recipient = (Address("", to),)
        mail = Mail(sender, recipient, (), (), "s", body, "plain", "<1@example.com>")
        return compose(mail, tracking_id="t", date=0)

    return build
