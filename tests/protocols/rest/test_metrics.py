"""What a scrape of a running service shows of deliveries, failures, limits, reports and calls."""

from __future__ import annotations

from importlib.metadata import version

from tests.harness.scrape import Scrape
from tests.protocols.rest.client import ONE_DATABASE, Client

from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint

OF_ACCOUNT = ("gmp_sent_total", "gmp_errors_total", "gmp_deferred_total", "gmp_rate_limited_total")


async def scrape(client: Client) -> Scrape:
    return Scrape((await client.http.get("/metrics")).text)


async def test_everything_is_there_before_something_happens(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    shown = await scrape(client)
    account = {"tenant_id": "default", "account_id": "smtp"}
    for name in (*OF_ACCOUNT, "gmp_delivery_seconds_count", "gmp_delivery_seconds_sum"):
        assert shown(name, **account) == 0
    assert shown("gmp_delivery_seconds_bucket", **account, le="+Inf") == 0
    assert shown("gmp_account_up", **account) == 1
    assert shown("gmp_sync_calls_total", tenant_id="default", outcome="timeout") == 0
    assert shown.values_of("gmp_queue_messages", "priority") == {
        "immediate",
        "high",
        "medium",
        "low",
    }
    assert shown("gmp_queue_messages") == shown("gmp_pending_messages") == 0
    assert shown("gmp_oldest_pending_seconds") == 0
    phases = {"connect", "tls", "login", "mail", "data"}
    assert shown.values_of("gmp_smtp_seconds_count", "phase") == phases
    assert shown("gmp_build_info", version=version("genro-mail-proxy")) == 1


async def test_deliveries_and_failures_are_counted_and_timed(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    smtp.on_recipient("gone@x.example", "550 5.1.1 no")
    smtp.on_recipient("busy@x.example", "450 4.2.1 later")
    await client.account(smtp)
    await client.add("one", "two")
    await client.add("failed", to="gone@x.example")
    await client.add("deferred", to="busy@x.example", priority="high")
    await client.in_state("sent", "one", "two")
    await client.in_state("error", "failed")
    await client.in_state("deferred", "deferred")
    shown = await scrape(client)
    account = {"tenant_id": "default", "account_id": "smtp"}
    assert [shown(name, **account) for name in OF_ACCOUNT] == [2, 1, 1, 0]
    assert shown("gmp_delivery_seconds_count", **account) == 2
    assert 0 <= shown("gmp_delivery_seconds_sum", **account) < 60
    assert shown("gmp_delivery_seconds_bucket", **account, le="60.0") == 2
    # Two refused at RCPT, so that only two had a message to send.
    assert shown("gmp_smtp_seconds_count", phase="mail") == 4
    assert shown("gmp_smtp_seconds_count", phase="data") == 2
    assert shown("gmp_smtp_seconds_count", phase="connect") == smtp.connections
    assert shown("gmp_smtp_seconds_count", phase="tls") == 0
    assert shown("gmp_smtp_seconds_count", phase="login") == 0
    assert shown("gmp_queue_messages", priority="high") == shown("gmp_queue_messages") == 1
    # It waits for its next attempt, which is not due yet.
    assert shown("gmp_oldest_pending_seconds") == 0


async def test_a_login_is_timed_where_there_is_one(client: Client) -> None:
    async with ScriptedSmtpServer(users={"ann": "right"}) as smtp:
        await client.account(smtp, user="ann", password="right")
        await client.add("m")
        await client.in_state("sent", "m")
    assert (await scrape(client))("gmp_smtp_seconds_count", phase="login") == 1


async def test_one_packet_to_a_server_with_chunking_is_all_data(client: Client) -> None:
    async with ScriptedSmtpServer(chunking=True) as smtp:
        await client.account(smtp)
        await client.add("m")
        await client.in_state("sent", "m")
    shown = await scrape(client)
    assert shown("gmp_smtp_seconds_count", phase="mail") == 0
    assert shown("gmp_smtp_seconds_count", phase="data") == 1


async def test_a_queue_at_its_limit_is_counted_and_the_message_behind_it_shown(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp, limit_per_hour=1)
    await client.add("first")
    await client.in_state("sent", "first")
    await client.add("second", priority="low")
    shown = await scrape(client)
    while not shown("gmp_rate_limited_total", account_id="smtp"):
        shown = await scrape(client)
    assert shown("gmp_queue_messages", priority="low") == 1
    assert shown("gmp_oldest_pending_seconds") > 0


async def test_messages_that_are_rejected_at_a_limit_are_errors(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp, limit_per_hour=1, limit_behavior="reject")
    await client.add("first")
    await client.in_state("sent", "first")
    await client.add("second")
    await client.in_state("error", "second")
    shown = await scrape(client)
    assert shown("gmp_errors_total") == 1
    assert shown("gmp_rate_limited_total") >= 1


async def test_report_calls_are_counted_by_how_they_went(
    client: Client, endpoint: SyncEndpoint
) -> None:
    endpoint.script(Reply(status=500), Reply({"ok": False}))
    await client.ok("PUT", "/tenant/default", {"client_base_url": endpoint.url})
    for calls in (1, 2, 3):
        await client.ok("POST", "/commands/run-now?tenant_id=default")
        await endpoint.wait_for(calls)
    await client.ok("POST", "/account", {"id": "a", "host": "127.0.0.1"})
    await client.add("m")
    await client.reported("m")
    shown = await scrape(client)
    assert shown("gmp_sync_calls_total", tenant_id="default", outcome="status") == 1
    assert shown("gmp_sync_calls_total", tenant_id="default", outcome="refused") == 1
    assert shown("gmp_sync_calls_total", tenant_id="default", outcome="ok") >= 1


@ONE_DATABASE
async def test_requests_are_timed_by_route_and_never_by_path(idle: Client) -> None:
    def requests(shown: Scrape, route: str, method: str, status: int) -> float:
        labels = {"route": route, "method": method, "status": str(status)}
        return shown("gmp_http_request_seconds_count", **labels)

    await idle.add("secret-id")
    await idle("GET", "/messages/secret-id")
    await idle("GET", "/messages/other-id")
    await idle.http.get("/messages/secret-id/events")
    await idle("POST", "/commands/add-messages", {"messages": []})
    await idle("POST", "/commands/add-messages", {"messages": []}, token="wrong")
    await idle("PATCH", "/messages/secret-id")
    await idle("GET", "/secret-path")
    await idle("BREW", "/secret-path")
    await idle.http.get("/docs")
    await idle.http.get("/docs/secret-path")
    await idle.http.post("/account", content=b"x", headers={"content-length": str(10**9)})
    text = (await idle.http.get("/metrics")).text
    assert "secret" not in text.lower()
    assert "brew" not in text.lower()
    shown = Scrape(text)
    assert requests(shown, "/messages/{id}", "GET", 200) == 1
    assert requests(shown, "/messages/{id}", "GET", 404) == 1
    assert requests(shown, "/messages/{id}", "PATCH", 405) == 1
    assert requests(shown, "/messages/{id}/events", "GET", 401) == 1
    assert requests(shown, "/commands/add-messages", "POST", 200) == 1
    assert requests(shown, "/commands/add-messages", "POST", 400) == 1
    assert requests(shown, "/commands/add-messages", "POST", 401) == 1
    assert requests(shown, "/docs", "GET", 200) == 1
    assert requests(shown, "unknown", "GET", 404) == 2
    assert requests(shown, "unknown", "unknown", 404) == 1
    assert requests(shown, "unknown", "POST", 413) == 1
    labels = {"route": "/messages/{id}", "status": "200"}
    assert shown("gmp_http_request_seconds_bucket", **labels, le="+Inf") == 1
    assert 0 < shown("gmp_http_request_seconds_sum", **labels) < 30


@ONE_DATABASE
async def test_a_removed_account_is_neither_up_nor_down_and_stays_counted(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    await client.add("m")
    await client.in_state("sent", "m")
    assert (await scrape(client)).has("gmp_account_up", account_id="smtp")
    await client.ok("DELETE", "/account/smtp")
    shown = await scrape(client)
    assert not shown.has("gmp_account_up", account_id="smtp")
    assert shown("gmp_sent_total", account_id="smtp") == 1
