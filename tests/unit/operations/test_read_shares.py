"""Reads of one tenant leave room for those of the others."""

from __future__ import annotations

import asyncio

from mail_proxy.operations.read_shares import ReadShares


async def test_a_tenant_has_two_reads_at_once_and_others_do_not_wait_for_it() -> None:
    shares, running = ReadShares(), list[str]()
    release = asyncio.Event()

    async def read(tenant: str) -> None:
        async with shares.turn(tenant):
            running.append(tenant)
            await release.wait()

    async with asyncio.TaskGroup() as reads:
        for _ in range(12):
            reads.create_task(read("busy"))
        reads.create_task(read("quiet"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sorted(running) == ["busy", "busy", "quiet"]
        release.set()
    assert running.count("busy") == 12
