"""An SMTP server that follows a script, and settings for a proxy beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from tests.harness.processes import free_port
from tests.harness.running import settings

from mail_proxy import ProxyConfig
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

Settings = Callable[..., ProxyConfig]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedSmtpServer]:
    async with ScriptedSmtpServer() as scripted:
        yield scripted


@pytest.fixture
def unused_port() -> int:
    """A port on loopback that refuses connections."""
    return free_port()


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> Settings:
    """Makes settings on the test's database."""
    return partial(settings, database_url, tmp_path)
