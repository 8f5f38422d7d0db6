"""The sync protocol against real HTTP servers."""

from __future__ import annotations

import asyncio
import base64
import gzip
import time
import zlib
from typing import Any

import pytest
from tests.harness.log_lines import lines
from tests.protocols.reporting.house import (
    CALL_SECONDS,
    IMPATIENT_SECONDS,
    INTERVAL,
    House,
    ids,
)

from mail_proxy.config import ClientSyncConfig
from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint


async def test_events_are_told_and_acknowledged(house: House, endpoint: SyncEndpoint) -> None:
    auth = {"method": "bearer", "token": "tökèn"}
    await house.tenant(client_base_url=f"{endpoint.url}/", client_auth=auth)
    await house.event(["m"], "deferred", {"retry_ts": 1800000060, "deferred_reason": "busy"})
    await house.event(["m"], "sent", {"recipients": [{"address": "a@b.example"}]})
    await house.event(["n"], "error", {"error": "no such user", "code": 550})
    reporter = await house.reporter()

    (call,) = await endpoint.wait_for(1)

    who = {"tenant_id": "t", "account_id": "a"}
    m = {**who, "id": "m", "pk": house.pks["t", "m"]}
    at = int(house.started)
    assert call.reports == [
        {**m, "deferred_ts": at, "retry_ts": 1800000060, "deferred_reason": "busy"},
        {**m, "sent_ts": at, "recipients": [{"address": "a@b.example"}]},
        {
            **who,
            "id": "n",
            "pk": house.pks["t", "n"],
            "error_ts": at,
            "error": "no such user",
            "code": 550,
        },
    ]
    assert call.path == "/mail-proxy/sync"
    assert call.headers["content-type"] == "application/json"
    assert call.headers["authorization"].encode("latin-1") == "Bearer tökèn".encode()
    await house.stop(reporter)
    assert await house.unreported() == []
    sync = await house.sync()
    assert (sync["last_sync_at"], sync["last_error"]) == (house.started, None)
    assert sync["claimed_by"] is None


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"sent": 1, "error": 1},
        {"ok": None, "queued": "many", "next_sync_after": "later", "not_found": {}},
        {"ok": True, "error": ["other", 7], "not_found": ["m", "n"]},
        {"error": ""},
        {"error": {}, "ok": True},
        {"jsonrpc": "2.0", "id": 1, "result": {"ok": True}},
        {"result": {"sent": 1}, "error": None, "id": 1},
    ],
)
async def test_all_these_answers_acknowledge(
    house: House, endpoint: SyncEndpoint, answer: dict[str, Any]
) -> None:
    endpoint.default = Reply(answer, status=202)
    await house.tenant(client_base_url=endpoint.url)
    await house.event(["m", "n"])
    reporter = await house.reporter()
    await endpoint.wait_for(1)
    await house.settled(reporter)
    assert await house.unreported() == []
    assert ids(endpoint.calls) == [["m", "n"]]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply({"ok": False}), "the application answered ok: false"),
        (Reply({"error": "no database"}), "the application answered with an error"),
        (Reply({"ok": True, "error": {"m": 1}}), "the application answered with an error"),
        (Reply({"jsonrpc": "2.0", "result": {"ok": False}}), "the application answered ok: false"),
        (
            Reply({"jsonrpc": "2.0", "error": {"code": 200, "message": "x"}}),
            "the application answered a JSON-RPC error",
        ),
        (Reply({"jsonrpc": "2.0", "result": True}), "the answer is not a JSON object"),
        (
            Reply({}, headers={"Content-Encoding": "br"}),
            "the answer has the Content-Encoding br",
        ),
        (
            Reply({}, headers={"Content-Encoding": "gzip"}),
            "the answer cannot be decompressed",
        ),
        (
            Reply(body=gzip.compress(b" " * 1_100_000), headers={"Content-Encoding": "gzip"}),
            "the answer is larger than 1 MB",
        ),
        (Reply(status=500), "HTTP 500"),
        (Reply(status=401), "HTTP 401"),
        (
            Reply(status=307, headers={"Location": "/other"}),
            "HTTP 307: redirects are not followed",
        ),
        (Reply(["ok"]), "the answer is not a JSON object"),
        (Reply(status=204, body=b""), "the answer is not a JSON object"),
        (Reply(body=b"<html>fine"), "the answer is not a JSON object"),
        (Reply(body=b"{" + b" " * 1_100_000 + b"}"), "the answer is larger than 1 MB"),
        (Reply(raw=b"what?\r\n\r\n"), "the call broke off: RemoteProtocolError"),
        (Reply(raw=b""), "the call broke off: RemoteProtocolError"),
        (Reply(hangs=True), "no answer within 0.5 s"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
async def test_all_these_answers_acknowledge_nothing_and_all_is_told_again(
    house: House,
    endpoint: SyncEndpoint,
    caplog: pytest.LogCaptureFixture,
    reply: Reply,
    reason: str,
) -> None:
    endpoint.script(reply)
    await house.tenant(client_base_url=endpoint.url)
    await house.event(["m", "n"])
    call_seconds = IMPATIENT_SECONDS if reply.hangs else CALL_SECONDS
    first = await house.reporter("first", call_seconds=call_seconds)
    await endpoint.wait_for(1)
    await house.settled(first)
    await house.stop(first)

    assert await house.unreported() == ["m", "n"]
    sync = await house.sync()
    assert (sync["last_error"], sync["failures"]) == (reason, 1)
    # The sentinel's call may fail too, if the reporter is impatient and the machine busy.
    failed = [line for line in lines(caplog, "report.failed") if line["tenant_id"] == "t"]
    url = f"{endpoint.url}/mail-proxy/sync"
    retry_ts = round(sync["next_due_at"], 3)
    expected = {"tenant_id": "t", "url": url, "events": 2, "reason": reason, "retry_ts": retry_ts}
    assert failed == [expected]
    assert 4.5 <= sync["next_due_at"] - house.clock.now() <= 5

    reporter = await house.reporter("second")
    await house.event(["o"])
    reporter.new_events()
    await house.settled(reporter)
    assert len(endpoint.calls) == 1, "new events must not shorten the back-off"
    house.clock.advance(5)
    await endpoint.wait_for(2)
    await house.stop(reporter)
    assert ids(endpoint.calls) == [["m", "n"], ["m", "n", "o"]]
    assert await house.unreported() == []
    assert (await house.sync())["failures"] == 0
    # By the process that saw the end, which is not the one that saw the begin.
    resumed = [line for line in lines(caplog, "report.resumed") if line["tenant_id"] == "t"]
    assert resumed == [{"tenant_id": "t", "url": url}]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b'\xef\xbb\xbf{"ok": true}'),
        Reply(body=b'{"ok": true, "not_found": ["\\ud83d"], "note": "\\ud83d"}'),
        Reply(body=b'{"ok": true, "note": "\xff"}'),
        Reply(body=gzip.compress(b'{"ok": true}'), headers={"Content-Encoding": "gzip"}),
        Reply(body=zlib.compress(b'{"ok": true}'), headers={"Content-Encoding": "deflate"}),
    ],
    ids=["byte order mark", "surrogate", "octets", "gzip", "deflate"],
)
async def test_answers_in_unusual_clothes_acknowledge(
    house: House, endpoint: SyncEndpoint, reply: Reply
) -> None:
    endpoint.default = reply
    await house.tenant(client_base_url=endpoint.url)
    await house.event(["m"])
    reporter = await house.reporter()
    await endpoint.wait_for(1)
    await house.settled(reporter)
    assert await house.unreported() == []


async def test_nobody_listens(house: House) -> None:
    async with SyncEndpoint() as endpoint:
        url = endpoint.url
    await house.tenant(client_base_url=url)
    await house.tenant("nonsense", client_base_url="http://user:secret@[::1/")
    await house.event(["m"])
    await house.settled(await house.reporter())
    assert (await house.sync())["last_error"].startswith("no connection: ")
    assert (await house.sync("nonsense"))["last_error"] == "the URL is not valid"


async def test_the_back_off_grows_to_the_interval_and_survives_restarts(
    house: House, endpoint: SyncEndpoint
) -> None:
    endpoint.default = Reply(status=503)
    await house.tenant(client_base_url=endpoint.url)
    await house.event(["m"])
    delays = []
    for number in range(1, 10):
        reporter = await house.reporter(f"process {number}")
        await endpoint.wait_for(number)
        await house.stop(reporter)
        sync = await house.sync()
        delays.append(sync["next_due_at"] - house.clock.now())
        house.clock.advance(delays[-1])
    wanted = [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert all(0.9 * w <= d <= w for d, w in zip(delays, wanted, strict=True)), delays


async def test_ids_in_error_are_put_off_and_their_later_events_wait_behind(
    house: House, endpoint: SyncEndpoint
) -> None:
    await house.tenant(client_base_url=endpoint.url)
    await house.event(["m", "n"], "deferred")
    await house.event(["m"], "sent")
    endpoint.script(Reply({"error": ["m"]}), Reply({}), Reply({"error": ["m"]}))
    reporter = await house.reporter()
    await endpoint.wait_for(1)
    await house.settled(reporter)
    assert await house.unreported() == ["m", "m"]

    await house.event(["m"], "bounce")
    await house.event(["o"])
    reporter.new_events()
    await endpoint.wait_for(2)
    house.clock.advance(60)
    await endpoint.wait_for(3)
    await house.settled(reporter)
    house.clock.advance(119)
    await house.settled(reporter)
    assert len(endpoint.calls) == 3, "the second delay is twice the first"
    house.clock.advance(1)
    await endpoint.wait_for(5)
    await house.stop(reporter)

    assert ids(endpoint.calls) == [["m", "n", "m"], ["o"], ["m", "m"], ["m", "m"], ["m"]]
    fourth, fifth = endpoint.calls[3:]
    assert ["retry_ts" in r for r in fourth.reports] == [True, False]
    assert "bounce_ts" in fifth.reports[0]
    assert await house.unreported() == []


async def test_not_found_is_acknowledged_and_logged(
    house: House, endpoint: SyncEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.script(Reply({"not_found": ["m", "something else"]}))
    await house.tenant(client_base_url=endpoint.url)
    await house.event(["m"])
    reporter = await house.reporter()
    await endpoint.wait_for(1)
    await house.stop(reporter)
    assert await house.unreported() == []
    (line,) = lines(caplog, "report.not_found")
    assert line == {"tenant_id": "t", "count": 2, "ids": ["m"]}


async def test_full_batches_follow_each_other_in_order(
    house: House, endpoint: SyncEndpoint
) -> None:
    await house.tenant(client_base_url=endpoint.url)
    names = [f"m{n}" for n in range(7)]
    await house.event(names)
    gate = asyncio.Event()
    endpoint.script(Reply({"error": ["m1"]}, after=gate))
    reporter = await house.reporter(batch=3, test_mode=True)  # nothing but the answer calls again
    reporter.run_now()
    await endpoint.wait_for(1)
    gate.set()
    await endpoint.wait_for(3)
    await house.settled(reporter)
    assert ids(endpoint.calls) == [names[:3], names[3:6], names[6:]]
    assert await house.unreported() == ["m1"]


async def test_new_events_are_gathered_into_one_call(house: House, endpoint: SyncEndpoint) -> None:
    await house.tenant(client_base_url=endpoint.url)
    gate = asyncio.Event()
    endpoint.script(Reply({}, after=gate))
    reporter = await house.reporter(poll_seconds=60)
    await endpoint.wait_for(1)
    for name in "abc":
        await house.event([name])
        reporter.new_events()
    async with SyncEndpoint() as other:
        await house.tenant("u", client_base_url=other.url)
        reporter.run_now("u")
        await other.wait_for(1)  # the events were looked for while the tenant was busy
    gate.set()
    await endpoint.wait_for(2)
    await house.stop(reporter)
    assert ids(endpoint.calls) == [[], ["a", "b", "c"]]


async def test_a_call_waits_for_events_that_follow_soon(
    house: House,
) -> None:
    for number, delay in enumerate((0.4, 4.0, 40.0)):
        tenant = f"t{number}"
        async with SyncEndpoint() as called:
            await house.tenant(tenant, client_base_url=called.url)
            reporter = await house.reporter(poll_seconds=60, report_delay=delay)
            await called.wait_for(1)
            began = time.monotonic()
            for name in "abc":
                await house.event([name], tenant=tenant)
                reporter.new_events()
            took = time.monotonic() - began
            await called.wait_for_report("c")
            await house.stop(reporter)
        if took < delay:  # otherwise the machine was too busy for "soon"
            assert ids(called.calls) == [[], ["a", "b", "c"]]
            return
    pytest.fail("three events took longer than 40 s")


async def test_reports_go_to_the_common_url_where_a_tenant_has_none(
    house: House, endpoint: SyncEndpoint
) -> None:
    async with SyncEndpoint() as own:
        await house.tenant("t")
        await house.tenant("own", client_base_url=own.url, client_sync_path="/told")
        await house.event(["m"])
        await house.event(["o"], tenant="own")
        sync = ClientSyncConfig(url=f"{endpoint.url}/common", user="u", password="p:w")
        reporter = await house.reporter(sync=sync)
        (own_call,) = await own.wait_for(1)
        (call,) = await endpoint.wait_for(1)
        await house.stop(reporter)
    assert (call.path, call.ids) == ("/common", ["m"])
    assert call.headers["authorization"] == "Basic " + base64.b64encode(b"u:p:w").decode()
    assert (own_call.path, own_call.ids) == ("/told", ["o"])
    assert "authorization" not in own_call.headers


@pytest.mark.parametrize(
    ("sync", "sent"),
    [({"token": "abc"}, "Bearer abc"), ({}, None), ({"user": "u"}, "Basic dTo=")],
)
async def test_authentication_at_the_common_url(
    house: House, endpoint: SyncEndpoint, sync: dict[str, Any], sent: str | None
) -> None:
    await house.tenant()
    await house.reporter(sync=ClientSyncConfig(url=endpoint.url, **sync))
    (call,) = await endpoint.wait_for(1)
    assert call.headers.get("authorization") == sent


async def test_basic_authentication_of_a_tenant(house: House, endpoint: SyncEndpoint) -> None:
    auth = {"method": "basic", "user": "u", "password": "p"}
    await house.tenant(client_base_url=endpoint.url, client_auth=auth)
    await house.reporter()
    (call,) = await endpoint.wait_for(1)
    assert call.headers["authorization"] == "Basic dTpw"


async def test_without_any_url_events_stay_unreported(house: House) -> None:
    await house.tenant()
    await house.event(["m"])
    await house.settled(await house.reporter())
    assert await house.unreported() == ["m"]


async def test_an_inactive_tenant_is_told_what_happened_and_nothing_else(
    house: House, endpoint: SyncEndpoint
) -> None:
    await house.tenant(client_base_url=endpoint.url, active=False)
    reporter = await house.reporter()
    await house.settled(reporter)
    assert endpoint.calls == []
    await house.event(["m"])
    reporter.new_events()
    await endpoint.wait_for(1)
    house.clock.advance(INTERVAL)
    await house.settled(reporter)
    assert ids(endpoint.calls) == [["m"]]


async def test_a_callable_takes_the_place_of_http(house: House) -> None:
    answers: list[Any] = [ValueError("no"), {"ok": False}, ["list"], None, {"ok": True}]
    told: asyncio.Queue[list[str]] = asyncio.Queue()

    async def deliver(payload: dict[str, Any]) -> Any:
        told.put_nowait([r["id"] for r in payload["delivery_report"]])
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    await house.tenant()
    await house.event(["m"])
    reasons = []
    for number in range(4):
        reporter = await house.reporter(f"process {number}", deliver=deliver)
        async with asyncio.timeout(60):
            assert await told.get() == ["m"]
        await house.stop(reporter)
        reasons.append((await house.sync())["last_error"])
        house.clock.advance(30)
    assert reasons == [
        "the callable raised ValueError",
        "the application answered ok: false",
        "the answer is not a JSON object",
        None,
    ]
    assert await house.unreported() == []


async def test_a_callable_that_hangs_is_given_up(house: House) -> None:
    called = asyncio.Event()

    async def deliver(payload: dict[str, Any]) -> None:
        called.set()
        await asyncio.Event().wait()

    await house.tenant()
    await house.event(["m"])
    reporter = await house.reporter(deliver=deliver, call_seconds=0.05)
    await called.wait()
    await house.stop(reporter)
    assert (await house.sync())["last_error"] == "no answer within 0.05 s"
