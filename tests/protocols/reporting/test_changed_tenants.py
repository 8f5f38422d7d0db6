"""A tenant is changed while its application is being told of a backlog."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.protocols.reporting.house import House, ids

from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint


async def test_the_rest_of_a_backlog_goes_to_the_new_address(
    house: House, endpoint: SyncEndpoint
) -> None:
    answered = asyncio.Event()
    async with SyncEndpoint(Reply({"ok": True}, after=answered)) as old:
        await house.tenant(client_base_url=old.url)
        await house.event(["m1", "m2", "m3", "m4"])
        await house.reporter(batch=2)
        await old.wait_for(1)
        await change(house, client_base_url=endpoint.url)
        answered.set()
        assert ids(await endpoint.wait_for(1)) == [["m3", "m4"]]
        assert ids(old.calls) == [["m1", "m2"]]


async def test_the_rest_of_a_backlog_waits_for_an_address_that_was_taken_away(
    house: House,
) -> None:
    answered = asyncio.Event()
    async with SyncEndpoint(Reply({"ok": True}, after=answered)) as old:
        await house.tenant(client_base_url=old.url)
        await house.event(["m1", "m2", "m3", "m4"])
        reporter = await house.reporter(batch=2)
        await old.wait_for(1)
        await change(house, client_base_url=None)
        answered.set()
        await reporter.drained()
        assert ids(old.calls) == [["m1", "m2"]]
    assert await house.unreported() == ["m3", "m4"]


async def change(house: House, **columns: Any) -> None:
    await house.db.write(house.tables.tenants.update, {"id": "t"}, columns)
