"""A token server, a mail server that takes its tokens, and an account between them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.protocols.oauth2.house import KEY, House

from mail_proxy.sql import SqlDb
from mail_proxy.sql.tables import Tables
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.token_server import ScriptedTokenServer


@pytest.fixture
async def tokens(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ScriptedTokenServer]:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    async with ScriptedTokenServer(public_key=KEY.public_key()) as server:
        yield server


@pytest.fixture
async def smtp(tokens: ScriptedTokenServer) -> AsyncIterator[ScriptedSmtpServer]:
    async with ScriptedSmtpServer(accepts_token=tokens.accepts) as server:
        yield server


@pytest.fixture
def house(
    db: SqlDb, tables: Tables, smtp: ScriptedSmtpServer, tokens: ScriptedTokenServer
) -> House:
    return House(db, tables, smtp, tokens)
