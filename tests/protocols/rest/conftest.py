"""The whole service behind its HTTP interface, with an SMTP server beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.protocols.rest.client import Client, serving

from mail_proxy.config import ProxyConfig, TimingConfig
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
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[Client]:
    key_file = tmp_path / "encryption_key"
    key_file.write_bytes(bytes(32))
    config = ProxyConfig(
        db_path=database_url,
        key_file=key_file,
        api_token="admin-token",
        timing=TimingConfig(report_delay=0.01),
    )
    async with serving(config) as client:
        yield client
