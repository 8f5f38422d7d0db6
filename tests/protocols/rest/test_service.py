"""Health, readiness, status, metrics, run-now, and what every answer has in common"""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.harness.patience import PATIENCE_SECONDS
from tests.harness.postgres import postgres_server
from tests.protocols.rest.client import ONE_DATABASE, Client, calling, serving

from mail_proxy.config import ProxyConfig, QueueConfig
from mail_proxy.server import create_app
from mail_proxy.sql import SqlDb
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

MAIL = {"from": "a@example.org", "to": "b@example.net", "subject": "s", "body": "b"}
TOKEN = {"X-API-Token": "admin-token"}


async def test_a_running_service_is_alive_ready_and_says_how_it_is(
    client: Client, config: ProxyConfig
) -> None:
    assert (await client.http.get("/health")).json() == {"ok": True}
    assert (await client.http.get("/ready")).json() == {"ok": True}
    status = await client.ok("GET", "/status")
    assert status.pop("uptime_seconds") >= 0
    assert status == {
        "ok": True,
        "active": True,
        "scheduler_active": True,
        "pending_messages": 0,
        "version": importlib.metadata.version("genro-mail-proxy"),
        "database": config.database_url.partition(":")[0],
    }


async def test_a_service_that_is_switched_off_says_so(idle: Client) -> None:
    status = await idle.ok("GET", "/status")
    assert (status["active"], status["scheduler_active"]) == (False, False)
    ready = await idle.http.get("/ready")
    assert (ready.status_code, int(ready.headers["Retry-After"])) == (503, 5)
    assert ready.json()["error"] == "the dispatcher is switched off (scheduler_active)"


async def test_before_the_lifespan_health_answers_and_the_rest_is_503(
    config: ProxyConfig,
) -> None:
    async with calling(create_app(config)) as client:
        assert (await client.http.get("/health")).status_code == 200
        for method, path in (
            ("GET", "/ready"),
            ("GET", "/status"),
            ("GET", "/metrics"),
            ("GET", "/tenants"),
            ("POST", "/commands/add-messages"),
        ):
            response = await client(method, path)
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) >= 1
            assert response.json()["error"] == "the proxy is not running"


async def test_run_now_answers_for_everybody_and_for_one_tenant(idle: Client) -> None:
    key = await idle.tenant("acme")
    for path, token in (
        ("/commands/run-now", "admin-token"),
        ("/commands/run-now?tenant_id=acme", "admin-token"),
        ("/commands/run-now", key),
    ):
        assert await idle.ok("POST", path, token=token) == {"ok": True}
    assert (await idle("POST", "/commands/run-now?tenant_id=nobody")).status_code == 404


@ONE_DATABASE
async def test_a_request_id_is_echoed_or_made(idle: Client) -> None:
    for path in ("/health", "/nowhere", "/status"):
        given = await idle.http.get(path, headers={"X-Request-ID": "abc-1.2:3"})
        assert given.headers.get_list("X-Request-ID") == ["abc-1.2:3"]
        made = [(await idle.http.get(path)).headers["X-Request-ID"] for _ in range(2)]
        assert len({*made, ""}) == 3
    hostile = await idle.http.get("/health", headers={"X-Request-ID": "x" * 1000})
    assert len(hostile.headers["X-Request-ID"]) <= 128


async def test_a_fault_of_ours_is_a_500_that_shows_nothing_but_its_id(
    idle: Client, config: ProxyConfig
) -> None:
    await idle.add("m")
    db = SqlDb(config.database_url)
    damage = "UPDATE message_payload SET content = 'not-json'"
    await db.write(lambda connection: connection.exec_driver_sql(damage).rowcount)
    await db.close()
    response = await idle.http.get("/messages/m", headers={**TOKEN, "X-Request-ID": "abc"})
    assert response.status_code == 500
    assert response.headers.get_list("X-Request-ID") == ["abc"]
    answer = {"ok": False, "error": "internal error", "code": "internal", "detail": None}
    assert response.json() == answer


@ONE_DATABASE
async def test_unknown_routes_and_methods_have_the_shape_of_errors(idle: Client) -> None:
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("GET", "/account", 405),
        ("DELETE", "/messages", 405),
    ):
        response = await idle(method, path)
        assert response.status_code == status
        answer = response.json()
        assert (answer["ok"], answer["detail"]) == (False, None)
        assert answer["error"]


@ONE_DATABASE
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"[" * 100_000])
async def test_a_body_that_is_no_json_object_is_a_client_error(idle: Client, body: bytes) -> None:
    headers = {**TOKEN, "Content-Type": "application/json"}
    response = await idle.http.post("/account", content=body, headers=headers)
    assert response.status_code in (400, 413, 422)
    assert response.json()["ok"] is False


@ONE_DATABASE
async def test_a_body_over_the_limit_is_413_whether_it_is_announced_or_not(
    config: ProxyConfig,
) -> None:
    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b" " * 100_000

    small = config.model_copy(
        update={"queue": QueueConfig(max_body_mb=1), "scheduler_active": False}
    )
    async with serving(small) as client:
        for path in ("/commands/add-messages", "/account", "/tenant"):
            announced = await client.http.post(path, content=b" " * 1_000_001, headers=TOKEN)
            streamed = await client.http.post(path, content=pieces(11), headers=TOKEN)
            for response in (announced, streamed):
                assert response.status_code == 413
                assert "1000000" in response.json()["error"]
                assert response.headers["X-Request-ID"]
            fits = await client.http.post(path, content=pieces(10), headers=TOKEN)
            assert fits.status_code == 422


@ONE_DATABASE
async def test_a_body_of_65_megabytes_is_over_the_default_limit(idle: Client) -> None:
    path = "/commands/add-messages"
    response = await idle.http.post(path, content=bytes(65_000_000), headers=TOKEN)
    assert response.status_code == 413


@ONE_DATABASE
async def test_the_documentation_names_every_route(idle: Client) -> None:
    paths = (await idle.http.get("/openapi.json")).json()["paths"]
    assert {"/health", "/ready", "/metrics", "/status", "/messages", "/account"} <= set(paths)
    add = paths["/commands/add-messages"]["post"]["requestBody"]["content"]["application/json"]
    assert add["schema"] == {"$ref": "#/components/schemas/AddMessages"}


async def test_calls_get_503_while_the_database_is_away_and_succeed_when_it_is_back(
    tmp_path: Path,
) -> None:
    key_file = tmp_path / "key"
    key_file.write_bytes(bytes(32))
    with postgres_server() as url:
        config = ProxyConfig(db_path=url, key_file=key_file, api_token="admin-token")
        async with serving(config) as client, ScriptedSmtpServer() as smtp:
            await client.account(smtp)
            await client("GET", "/metrics")
            await terminate_sessions(url, allow=False)
            for method, path, body in (
                ("GET", "/messages", None),
                ("POST", "/commands/add-messages", {"messages": [{"id": "m", **MAIL}]}),
                ("GET", "/ready", None),
            ):
                response = await client(method, path, body)
                assert response.status_code == 503
                assert int(response.headers["Retry-After"]) >= 1
                assert "127.0.0.1" not in response.text
            assert (await client("GET", "/health")).status_code == 200
            shown = await metrics(client, lambda text: "gmp_pending_messages NaN" in text)
            assert 'gmp_queue_messages{priority="low"} NaN' in shown
            account = 'account_id="smtp",tenant_id="default"'
            assert f"gmp_oldest_pending_seconds{{{account}}} NaN" in shown
            assert f"gmp_account_up{{{account}}} 1.0" in shown
            await terminate_sessions(url, allow=True)
            await client.add("after")
            await smtp.received(1)
            await metrics(client, lambda text: "NaN" not in text)


async def metrics(client: Client, holds: Callable[[str], bool]) -> str:
    """Return the first scrape of which this holds; counts that took long are cached for seconds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds(text := (await client("GET", "/metrics")).text):
            await asyncio.sleep(0.01)
    return text


async def terminate_sessions(url: str, *, allow: bool) -> None:
    """End all sessions of the database, and allow new ones or not."""
    import psycopg

    # Its own database is the one that is closed, so ask from another.
    admin = await psycopg.AsyncConnection.connect(
        url.rsplit("/", 1)[0] + "/template1", autocommit=True
    )
    async with admin:
        await admin.execute(f"ALTER DATABASE postgres ALLOW_CONNECTIONS {allow}")
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres'"
        )
