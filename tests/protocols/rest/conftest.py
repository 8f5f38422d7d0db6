"""The whole service behind its HTTP interface, with an SMTP server beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.protocols.rest.client import Client, serving

from mail_proxy.config import ProxyConfig, TimingConfig
from mail_proxy.sql import SqlDb
from mail_proxy.sql.tables import Tables
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import SyncEndpoint


@pytest.fixture
async def smtp() -> AsyncIterator[ScriptedSmtpServer]:
    async with ScriptedSmtpServer() as server:
        yield server


@pytest.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SyncEndpoint]:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    async with SyncEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> ProxyConfig:
    key_file = tmp_path / "encryption_key"
    key_file.write_bytes(bytes(32))
    return ProxyConfig(
        db_path=database_url,
        key_file=key_file,
        api_token=SecretStr("admin-token"),
        timing=TimingConfig(report_delay=0.01),
    )


@pytest.fixture
async def client(config: ProxyConfig) -> AsyncIterator[Client]:
    async with serving(config) as client:
        yield client


@pytest.fixture
async def idle(config: ProxyConfig) -> AsyncIterator[Client]:
    """A service that takes messages and sends none."""
    async with serving(config.model_copy(update={"scheduler_active": False})) as client:
        await client.ok("POST", "/account", {"id": "smtp", "host": "127.0.0.1", "tls": "none"})
        yield client


@pytest.fixture
def authorization(config: ProxyConfig) -> Callable[[str], Awaitable[Any]]:
    """Reads a tenant's ``client_auth`` as the reporter gets it."""

    async def read(tenant_id: str) -> Any:
        db = SqlDb(config.database_url)
        tables = Tables.of(db, bytes(32))
        row = await db.read(lambda connection: tables.tenants.get(connection, id=tenant_id))
        await db.close()
        return row["client_auth"]

    return read
