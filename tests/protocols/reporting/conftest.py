"""A house of tenants, and an application that is called."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.protocols.reporting.house import House

from mail_proxy.sql import SqlDb
from mail_proxy.sql.tables import Tables
from mail_proxy.testing.clock import FakeClock
from mail_proxy.testing.sync_endpoint import SyncEndpoint


@pytest.fixture
async def house(db: SqlDb, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    await db.write(tables.instance.ensure, "test", FakeClock().now())
    house = House(db, tables)
    yield house
    for reporter in house.reporters:
        await house.stop(reporter)


@pytest.fixture
async def endpoint() -> AsyncIterator[SyncEndpoint]:
    async with SyncEndpoint() as endpoint:
        yield endpoint
