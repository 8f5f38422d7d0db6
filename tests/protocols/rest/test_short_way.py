"""``add-messages`` on its short way: it answers, counts and logs as the usual way does"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.harness.patience import PATIENCE_SECONDS
from tests.harness.scrape import Scrape
from tests.protocols.rest.client import ONE_DATABASE, serving
from tests.protocols.rest.raw_http import (
    ADD,
    ADD_LONG,
    TOKEN,
    RawClient,
    answer_from,
    listening,
    request,
)

from mail_proxy.config import ProxyConfig, TimingConfig
from mail_proxy.http import limits

JSON = "Content-Type: application/json"
KEY = "X-API-Token: {key}"
COMMON = {"from": "Ann <ann@example.org>", "to": "bob@example.net", "subject": "s", "body": "b"}


def mails(*ids: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"id": id_, **COMMON, **fields} for id_ in ids]}


#: Name, headers, body, and whether the short way answers.
CALLS: list[tuple[str, tuple[str, ...], Any, bool]] = [
    ("one", (TOKEN, JSON), mails("a"), True),
    ("the same again", (TOKEN, JSON), mails("a"), True),
    ("other content", (TOKEN, JSON), mails("a", subject="other"), True),
    ("three", (TOKEN, JSON), mails("b", "c", "d"), True),
    ("twice in a call", (TOKEN, JSON), mails("e", "e"), True),
    ("all fields", (TOKEN, JSON), mails("f", to=["x@example.net", "y@example.net"]), True),
    ("priority", (TOKEN, JSON), {**mails("g"), "default_priority": 0}, True),
    ("tenant of the call", (TOKEN, JSON), {**mails("h"), "tenant_id": "acme"}, True),
    ("html", (TOKEN, JSON), mails("i", content_type="html"), True),
    ("bearer", ("Authorization: Bearer admin-token", JSON), mails("j"), True),
    ("no type", (TOKEN,), mails("k"), True),
    ("charset", (TOKEN, "Content-Type: application/json; charset=UTF-8"), mails("l"), True),
    ("id of the request", (TOKEN, JSON, "X-Request-ID: r-1"), mails("m"), True),
    ("wrong id", (TOKEN, JSON, "X-Request-ID: r 1"), mails("n"), True),
    ("key", (KEY, JSON), mails("o"), True),
    ("forwarded", (TOKEN, JSON, "X-Forwarded-For: 192.0.2.1"), mails("p"), True),
    ("no tenant", (TOKEN, JSON), {**mails("q"), "tenant_id": "none"}, False),
    ("no account", (TOKEN, JSON), mails("r", account_id="none"), True),
    ("late", (TOKEN, JSON), mails("s", expires_ts=1.0), True),
    ("wrong one", (TOKEN, JSON), {"messages": [*mails("t")["messages"], {"id": "u"}]}, False),
    ("all wrong", (TOKEN, JSON), mails("v", to="nobody"), False),
    ("none", (TOKEN, JSON), {"messages": []}, False),
    ("no list", (TOKEN, JSON), {"messages": 3}, False),
    ("wrong field", (TOKEN, JSON), {**mails("w"), "mails": []}, False),
    ("no JSON", (TOKEN, JSON), b'{"messages": [', False),
    ("no text", (TOKEN, JSON), b'{"messages": ["\xff"]}', False),
    ("empty", (TOKEN, JSON), b"", False),
    ("no token", (JSON,), mails("x"), False),
    ("wrong token", ("X-API-Token: guess", JSON), mails("x"), False),
    ("wrong, and right", ("X-API-Token: guess", "Authorization: Bearer admin-token"), {}, False),
    ("two tokens", (TOKEN, "X-API-Token: guess", JSON), mails("y"), True),
    ("another tenant's", (KEY, JSON), mails("z", tenant_id="default"), False),
    ("XML", (TOKEN, "Content-Type: text/xml"), mails("z"), False),
    ("compressed", (TOKEN, JSON, "Content-Encoding: gzip"), mails("z"), False),
    ("latin", (TOKEN, "Content-Type: text/json; charset=latin-1"), mails("z"), False),
    ("expect", (TOKEN, JSON, "Expect: 100-continue"), mails("aa"), False),
    ("close", (TOKEN, JSON, "Connection: close"), mails("ab"), False),
    ("upgrade", (TOKEN, JSON, "Connection: upgrade", "Upgrade: h2c"), mails("ac"), False),
    ("large", (TOKEN, JSON), mails("ad", body="x" * 70_000), False),
    ("many", (TOKEN, JSON), mails(*(f"ae{n}" for n in range(60))), False),
    ("headers", (TOKEN, JSON, "X: " + "x" * 66_000), mails("af"), False),
    ("many headers", (TOKEN, JSON, *(f"X-{n}: x" for n in range(101))), mails("af"), False),
]


@pytest.fixture
def config(config: ProxyConfig) -> ProxyConfig:
    """Without a limit of the disk, for which one call in a second takes the usual way."""
    queue = config.queue.model_copy(update={"min_free_disk_mb": 0})
    return config.model_copy(update={"scheduler_active": False, "queue": queue})


@asynccontextmanager
async def prepared(config: ProxyConfig) -> AsyncIterator[tuple[RawClient, str]]:
    """A service with accounts of two tenants, whose messages are counted; the key of ``acme``."""
    async with listening(config) as client:
        key = (await client.ok("POST", "/tenant", {"id": "acme"}))["api_key"]
        for tenant in ("default", "acme"):
            account = {"id": "smtp", "host": "127.0.0.1", "tls": "none", "tenant_id": tenant}
            await client.ok("POST", "/account", account)
            await client.ok("POST", ADD, {**mails("first"), "tenant_id": tenant})
        yield client, key


async def outcome(client: RawClient, target: str, key: str, call: Any) -> tuple[Any, ...]:
    """What a client sees of a call, without what differs from call to call."""
    name, headers, body, _ = call
    if isinstance(body, dict) and body.get("messages") and KEY not in headers:
        body = {"tenant_id": "default", **body}
    answer = await client(
        request("POST", target, body, *(line.format(key=key) for line in headers))
    )
    given = any("X-Request-ID: r-1" in line for line in headers)
    own = [
        (header, value if header != "x-request-id" or given else len(value))
        for header, value in answer.headers
        if header != "date"
    ]
    return name, answer.status, own, answer.body


async def traces(client: RawClient) -> tuple[Any, ...]:
    """What the calls have left in the audit log, in the metrics, and as messages."""
    log = (await client.ok("GET", "/command-log?limit=200"))["commands"]
    rows = [
        {k: v for k, v in row.items() if k not in ("id", "command_ts", "request_id")} for row in log
    ]
    metrics = Scrape((await client(request("GET", "/metrics"))).body.decode())
    counts = {
        status: metrics("gmp_http_request_seconds_count", route=ADD, method="POST", status=status)
        for status in ("200", "400", "401", "403", "413", "415", "422", "431")
        if metrics.has("gmp_http_request_seconds_count", route=ADD, method="POST", status=status)
    }
    found = (await client.ok("GET", "/messages?limit=1000"))["messages"]
    messages = sorted((m["tenant_id"], m["id"], m["status"], m["subject"]) for m in found)
    return rows, counts, messages


@ONE_DATABASE
async def test_every_call_has_the_answer_and_the_traces_of_the_usual_way(
    config: ProxyConfig, tmp_path: Path
) -> None:
    other = config.model_copy(update={"db_path": str(tmp_path / "other.db")})
    async with prepared(config) as (short, key), prepared(other) as (long, other_key):
        for call in CALLS:
            before = short.way.answered
            answered = await outcome(short, ADD, key, call)
            assert answered == await outcome(long, ADD_LONG, other_key, call)
            assert (short.way.answered > before) == call[3], call[0]
        assert long.way.answered == 0
        assert await traces(short) == await traces(long)


async def test_a_key_that_another_process_has_replaced_stores_nothing(config: ProxyConfig) -> None:
    async with prepared(config) as (client, key), serving(config) as elsewhere:
        usual = request("POST", ADD, mails("before"), KEY.format(key=key))
        assert (await client(usual)).json["queued"] == 1
        assert client.way.answered == 1
        await elsewhere.ok("POST", "/tenant/acme/api-key")
        refused = await client(request("POST", ADD, mails("after"), KEY.format(key=key)))
        assert (refused.status, refused.json["code"]) == (401, "unauthorized")
        assert client.way.answered == 1
        found = await client.ok("GET", "/messages?tenant_id=acme&limit=10")
        assert [m["id"] for m in found["messages"]] == ["before", "first"]
        newest = (await client.ok("GET", "/command-log?limit=1"))["commands"][0]
        assert (newest["actor"], newest["tenant_id"]) == ("nobody", None)


async def test_a_tenant_that_another_process_has_deactivated_stores_nothing(
    config: ProxyConfig,
) -> None:
    async with prepared(config) as (client, key), serving(config) as elsewhere:
        await elsewhere.ok("PUT", "/tenant/acme", {"active": False})
        refused = await client(request("POST", ADD, mails("after"), KEY.format(key=key)))
        assert refused.status == 403
        assert (await client.ok("GET", "/messages?tenant_id=acme&id=after"))["messages"] == []


@ONE_DATABASE
async def test_a_call_that_leaves_the_short_way_counts_once(config: ProxyConfig) -> None:
    async with prepared(config) as (client, key):
        # One call, and the next one after hours.
        await client.ok("PUT", "/tenant/acme", {"max_calls_per_second": 0.0001})
        await client.ok("GET", "/messages?tenant_id=acme")  # the service has noticed it
        partly = {"messages": [*mails("a")["messages"], {"id": "wrong"}]}
        taken = await client(request("POST", ADD, partly, KEY.format(key=key)))
        assert (taken.status, taken.json["queued"]) == (200, 1)
        refused = await client(request("POST", ADD, mails("b"), KEY.format(key=key)))
        assert refused.status == 429
        assert refused.header("retry-after") is not None
        assert client.way.answered == 0


@ONE_DATABASE
async def test_pipelined_requests_of_both_ways_are_answered_in_order(config: ProxyConfig) -> None:
    calls = [
        (request("POST", ADD, mails("a")), 200),
        (request("GET", "/health"), 200),
        (request("POST", ADD, b"["), 422),
        (request("POST", ADD, mails("b", "c")), 200),
        (request("POST", ADD, mails("d"), "X-API-Token: guess"), 401),
        (request("POST", ADD_LONG, mails("e")), 200),
        (request("POST", ADD, mails("f")), 200),
    ]
    async with listening(config) as client:
        account = {"id": "smtp", "host": "127.0.0.1", "tls": "none"}
        await client.ok("POST", "/account", account)
        await client.ok("POST", ADD, mails("first"))
        async with client.connected() as (reader, writer):
            writer.write(b"".join(octets for octets, _ in calls))
            assert [(await answer_from(reader)).status for _ in calls] == [s for _, s in calls]
        assert client.way.answered == 3


@ONE_DATABASE
async def test_a_body_that_comes_late_is_bounded_as_on_the_usual_way(
    config: ProxyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WHOLE_REQUEST_SECONDS", 0.05)
    impatient = config.model_copy(update={"timing": TimingConfig(request_timeout=0.3)})
    whole = request("POST", ADD, mails("a"))
    stranger = request("POST", ADD, mails("a"), "X-API-Token: guess")
    async with listening(impatient) as client:
        late = await client(whole[:-1])
        assert (late.status, late.header("connection")) == (408, "close")
        assert (await client(stranger[:-1])).status == 401
        async with client.connected() as (reader, writer):
            writer.write(whole[:-1])
            assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 408 Request Timeout\r\n"
        assert client.way.answered == 0


@ONE_DATABASE
async def test_a_body_in_pieces_takes_the_short_way(config: ProxyConfig) -> None:
    async with prepared(config) as (client, key):
        whole = request("POST", ADD, mails("a"), KEY.format(key=key))
        head, _, body = whole.partition(b"\r\n\r\n")
        async with client.connected() as (reader, writer):
            for piece in (head[:20], head[20:] + b"\r\n\r\n", body[:5], body[5:]):
                writer.write(piece)
                # A ping on another connection: the service has read the piece by then.
                await client(request("GET", "/health"))
            assert (await answer_from(reader)).status == 200
        assert client.way.answered == 1


@ONE_DATABASE
async def test_a_client_that_leaves_before_its_body_is_complete_is_counted(
    config: ProxyConfig,
) -> None:
    async with listening(config) as client:
        async with client.connected() as (_, writer):
            writer.write(request("POST", ADD, mails("a"))[:-1])
            await client(request("GET", "/health"))
        labels = {"route": ADD, "method": "POST", "status": "499"}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await counted(client, **labels):
                await asyncio.sleep(0.01)


@ONE_DATABASE
async def test_a_body_in_progress_is_taken_during_a_stop(config: ProxyConfig) -> None:
    async with prepared(config) as (client, key):
        whole = request("POST", ADD, mails("a"), KEY.format(key=key))
        async with client.connected() as (reader, writer):
            writer.write(whole[:-1])
            await client(request("GET", "/health"))
            for connection in list(client.server.server_state.connections):
                connection.shutdown()  # type: ignore[union-attr]
            writer.write(whole[-1:] + whole)
            answer = await answer_from(reader)
            assert (answer.status, answer.header("connection")) == (200, "close")
            assert await reader.read() == b""


async def counted(client: RawClient, **labels: str) -> bool:
    text = (await client(request("GET", "/metrics"))).body.decode()
    return Scrape(text).has("gmp_http_request_seconds_count", **labels)
