"""Alerts: what stays in the attention list is reported to a person once, and again when over."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
import pytest
from pydantic import SecretStr, ValidationError
from tests.protocols.rest.client import ONE_DATABASE, Client, serving

from mail_proxy.config import AlertConfig, ProxyConfig
from mail_proxy.features.alerts.table import AlertSecretTable, AlertsTable, is_due
from mail_proxy.sql import SqlDb
from mail_proxy.sql.tables import Tables
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import Reply, ReportCall, SyncEndpoint
from mail_proxy.wire.service import Attention

SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"
SOON = 0.1
PAUSED = Attention(code="account_paused", text="Account a", tenant_id="t", account_id="a")


@asynccontextmanager
async def alerting(config: ProxyConfig, **alerts: Any) -> AsyncIterator[Client]:
    settings = AlertConfig(alert_after=SOON, **alerts)
    async with serving(config.model_copy(update={"alerts": settings})) as client:
        yield client


def alerts_in(calls: list[ReportCall]) -> list[dict[str, Any]]:
    return [alert for call in calls for alert in orjson.loads(call.body)["alerts"]]


async def break_account(client: Client, smtp: ScriptedSmtpServer, message: str = "m") -> None:
    smtp.on("connect", "554 5.7.1 no mail from you")
    await client.account(smtp)
    await client.add(message)
    await client.in_state("deferred", message)


async def mend_account(client: Client, smtp: ScriptedSmtpServer) -> None:
    smtp.forget_script()
    await client.ok("POST", "/account/smtp/test")
    await client.in_state("sent", "m")


async def test_a_trouble_is_reported_once_to_the_url_and_once_when_it_is_over(
    config: ProxyConfig, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
) -> None:
    async with alerting(config, alert_url=f"{endpoint.url}/alerts") as client:
        await break_account(client, smtp)
        (begun,) = alerts_in(await endpoint.wait_for(1))
        assert {name: begun[name] for name in ("state", "code", "tenant_id", "account_id")} == {
            "state": "begun",
            "code": "account_paused",
            "tenant_id": "default",
            "account_id": "smtp",
        }
        assert "no mail from you" in begun["text"]
        await mend_account(client, smtp)
        _, over = alerts_in(await endpoint.wait_for(2))
        assert (over["state"], over["code"]) == ("over", "account_paused")
        assert over["id"] == begun["id"]
        await break_account(client, smtp, "n")
        states = [alert["state"] for alert in alerts_in(await endpoint.wait_for(3))]
        assert states == ["begun", "over", "begun"]
    db = SqlDb(config.database_url)
    made = await db.write(Tables.of(db, bytes(32)).of_feature(AlertSecretTable).obtain)
    await db.close()
    for call in endpoint.calls:
        call.verify(made)
    assert len({call.headers["webhook-id"] for call in endpoint.calls}) == 3


async def test_a_restart_reports_nothing_twice(
    config: ProxyConfig, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
) -> None:
    given = {"alert_url": endpoint.url, "alert_secret": SecretStr(SECRET)}
    async with alerting(config, **given) as client:
        await break_account(client, smtp)
        (call,) = await endpoint.wait_for(1)
        call.verify(SECRET)
    async with alerting(config, **given) as client:
        await mend_account(client, smtp)
        states = [alert["state"] for alert in alerts_in(await endpoint.wait_for(2))]
    assert states == ["begun", "over"]


async def test_of_several_processes_one_reports(
    config: ProxyConfig, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
) -> None:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(alerting(config, alert_url=endpoint.url))
            for _ in range(3)
        ]
        await break_account(clients[0], smtp)
        await endpoint.wait_for(1)
        await mend_account(clients[0], smtp)
        calls = await endpoint.wait_for(2)
        states = [alert["state"] for alert in alerts_in(calls)]
    assert states == ["begun", "over"]
    assert len(endpoint.calls) == 2


async def test_a_mail_goes_through_the_named_account_past_the_queue(
    config: ProxyConfig, smtp: ScriptedSmtpServer
) -> None:
    async with (
        ScriptedSmtpServer() as other,
        alerting(config, alert_email="ops@example.org", alert_account="other") as client,
    ):
        body = {"id": "other", "host": other.host, "port": other.port, "tls": "none"}
        await client.ok("POST", "/account", body)
        await client.account(smtp)
        smtp.on("connect", "554 5.7.1 no mail from you")
        await client.add("m", account_id="smtp")
        (first,) = await other.received(1)
        assert first.recipients == ("ops@example.org",)
        text = first.data.decode()
        assert "Needs attention" in text
        assert "Account smtp cannot be used" in text
        assert "Auto-Submitted: auto-generated" in text
        smtp.forget_script()
        await client.ok("POST", "/account/smtp/test")
        _, second = await other.received(2)
        assert "Over" in second.data.decode()
    assert len(other.accepted) == 2


async def test_a_channel_that_fails_delays_no_other(
    config: ProxyConfig, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
) -> None:
    given = {"alert_url": endpoint.url, "alert_email": "ops@example.org"}
    async with alerting(config, **given) as client:
        await break_account(client, smtp)  # the only account: mails cannot be sent either
        (begun,) = alerts_in(await endpoint.wait_for(1))
        assert begun["code"] == "account_paused"


async def test_a_test_alert_says_what_each_channel_did(
    config: ProxyConfig, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
) -> None:
    given = {"alert_url": endpoint.url, "alert_email": "ops@example.org"}
    async with alerting(config, **given) as client:
        without = await client("POST", "/alerts/test")
        email, url = without.json()["channels"]
        assert email["detail"] == "the tenant default has no account default (alert_account)"
        assert (email["ok"], url) == (False, {"channel": "url", "ok": True, "detail": None})
        await client.account(smtp)
        endpoint.default = Reply(status=500)
        email, url = (await client("POST", "/alerts/test")).json()["channels"]
        assert email == {"channel": "email", "ok": True, "detail": None}
        assert (url["ok"], url["detail"]) == (False, "HTTP 500")
        (mail,) = await smtp.received(1)
        assert "This is a test alert" in mail.data.decode()
        (alert,) = alerts_in(endpoint.calls[:1])
        assert alert["state"] == "test"
        logged = (await client.ok("GET", "/command-log"))["commands"]
        assert [c["operation"] for c in logged].count("alerts.test") == 2


@ONE_DATABASE
async def test_a_test_alert_needs_a_channel(idle: Client) -> None:
    response = await idle("POST", "/alerts/test")
    assert response.status_code == 409
    assert response.json()["error"] == "no alert_email and no alert_url is set"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alert_email", "ops"),
        ("alert_email", "Ops <ops@example.org>"),
        ("alert_email", "ops@example.org\nBcc: x@example.org"),
        ("alert_secret", "whsec_short"),
        ("alert_url", "ftp://example.org/"),
        ("alert_after", 0),
    ],
)
def test_wrong_settings_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        AlertConfig(**{name: value})


async def test_rows_follow_a_trouble_through_its_stages(db: SqlDb, tables: Tables) -> None:
    await db.write(tables.instance.ensure, "test", 0.0)
    table = tables.of_feature(AlertsTable)
    due: Callable[..., bool] = is_due
    (row,) = await db.write(table.follow, [PAUSED], 1000.0)
    assert not due(row, "url", 1299.0, 300.0)
    assert due(row, "url", 1300.0, 300.0)
    assert await db.write(table.follow, [], 1100.0)  # over before it was reported
    assert await db.write(table.forget, ["url"]) == 1
    (row,) = await db.write(table.follow, [PAUSED], 2000.0)
    await db.write(table.mark, [row], "url")
    (row,) = await db.write(table.follow, [PAUSED], 2500.0)
    assert not due(row, "url", 2500.0, 300.0)
    assert due(row, "email", 2500.0, 300.0)
    (row,) = await db.write(table.follow, [], 2600.0)
    assert due(row, "url", 2600.0, 300.0)
    assert not due(row, "email", 2600.0, 300.0)
    assert await db.write(table.forget, ["url", "email"]) == 0
    await db.write(table.mark, [row], "url")
    (again,) = await db.write(table.follow, [PAUSED], 2700.0)
    assert (again["first_at"], again["over_at"], again["url"]) == (2700.0, None, 0)
