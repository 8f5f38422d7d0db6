"""What is kept of the last calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.protocols.reporting.house import CALL_SECONDS, IMPATIENT_SECONDS, House

from mail_proxy.sql import Connection
from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint

TOO_LARGE = Reply(body=b"{" + b" " * 1_100_000 + b"}")


@pytest.mark.parametrize(
    ("reply", "outcome", "status", "error", "acknowledged"),
    [
        (Reply({"ok": True}), "ok", 200, None, 3),
        (Reply({"error": ["m", "other"]}, status=201), "ok", 201, None, 2),
        (Reply({"ok": False}), "refused", 200, "the application answered ok: false", 0),
        (Reply(status=503), "status", 503, "HTTP 503", 0),
        (
            Reply(status=302, headers={"Location": "/"}),
            "status",
            302,
            "HTTP 302: redirects are not followed",
            0,
        ),
        (Reply(body=b"<html>"), "bad_answer", 200, "the answer is not a JSON object", 0),
        (TOO_LARGE, "bad_answer", 200, "the answer is larger than 1 MB", 0),
        (Reply(hangs=True), "timeout", None, "no answer within 0.5 s", 0),
        (Reply(raw=b""), "connection", None, "the call broke off: RemoteProtocolError", 0),
    ],
    ids=lambda v: v if isinstance(v, str) and " " not in v else "",
)
async def test_each_call_is_kept_as_it_went(
    house: House,
    endpoint: SyncEndpoint,
    reply: Reply,
    outcome: str,
    status: int | None,
    error: str | None,
    acknowledged: int,
) -> None:
    endpoint.script(reply)
    await house.tenant(client_base_url=endpoint.url)
    await house.event(["m", "n", "o"])
    call_seconds = IMPATIENT_SECONDS if reply.hangs else CALL_SECONDS
    await house.settled(await house.reporter(call_seconds=call_seconds))
    (call,) = endpoint.calls
    (kept,) = await house.logged()
    assert (kept["outcome"], kept["status"], kept["error"]) == (outcome, status, error)
    assert (kept["reports"], kept["acknowledged"]) == (3, acknowledged)
    assert (kept["at"], kept["bytes_sent"]) == (house.started, len(call.body))
    received = len(reply.to_bytes().partition(b"\r\n\r\n")[2]) if (status or 500) < 300 else 0
    if reply is TOO_LARGE:
        assert 1_000_000 < kept["bytes_received"] <= received
    else:
        assert kept["bytes_received"] == received


async def test_a_call_that_is_told_to_a_callable_is_kept_too(house: House) -> None:
    answers: list[Any] = [ValueError("no"), None]
    called = asyncio.Event()

    async def deliver(payload: dict[str, Any]) -> None:
        called.set()
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    await house.tenant()
    await house.event(["m"])
    for number in range(2):
        called.clear()
        reporter = await house.reporter(f"process {number}", deliver=deliver)
        await called.wait()
        await house.stop(reporter)
        house.clock.advance(30)
    newest, oldest = await house.logged()
    assert (oldest["outcome"], oldest["error"]) == ("raised", "the callable raised ValueError")
    assert (newest["outcome"], newest["acknowledged"], newest["status"]) == ("ok", 1, None)


async def test_how_long_a_call_took_is_measured(house: House, endpoint: SyncEndpoint) -> None:
    gate = asyncio.Event()
    endpoint.script(Reply(after=gate))
    await house.tenant(client_base_url=endpoint.url)
    reporter = await house.reporter()
    await endpoint.wait_for(1)
    house.clock.advance(2.5)
    gate.set()
    await house.settled(reporter)
    (kept,) = await house.logged()
    assert (kept["at"], kept["seconds"]) == (house.started, 2.5)


async def test_of_each_tenant_the_last_hundred_calls_are_kept(house: House) -> None:
    await house.tenant("t")
    await house.tenant("u")
    call = {"at": 1.0, "seconds": 0.0, "outcome": "ok", "bytes_sent": 0, "bytes_received": 0}

    def work(connection: Connection) -> None:
        for number in range(103):
            told = {**call, "reports": number, "acknowledged": 0}
            house.tables.sync_log.append(connection, {**told, "tenant_id": "t"})
            if number % 50 == 0:
                house.tables.sync_log.append(connection, {**told, "tenant_id": "u"})

    await house.db.write(work)
    assert [c["reports"] for c in await house.logged("t")] == list(range(102, 2, -1))
    assert [c["reports"] for c in await house.logged("u")] == [100, 50, 0]
