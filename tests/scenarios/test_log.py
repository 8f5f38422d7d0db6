"""A message and a request are followed through the log by their ids"""

from __future__ import annotations

import asyncio
import json
import shlex
from typing import Any

import httpx
import pytest
from tests.harness.command_line import CommandLine

from mail_proxy.sql import SqlDb
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import SyncEndpoint

_TOKEN = "the-admin-token"
_PATIENCE_SECONDS = 60.0
Line = dict[str, Any]


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_a_message_and_its_request_through_the_log(
    log_format: str, mail_proxy: CommandLine, database_url: str
) -> None:
    environ = {
        "GMP_DB_PATH": database_url,
        "GMP_LOG_LEVEL": "debug",
        "GMP_LOG_FORMAT": log_format,
        "GMP_LOG_DELIVERY_ACTIVITY": "true",
        "GMP_RETRY_DELAYS": "0.2",
        "GMP_API_TOKEN": _TOKEN,
    }
    url = (await asyncio.to_thread(mail_proxy.started, "shop", **environ)).url
    async with (
        ScriptedSmtpServer() as smtp,
        SyncEndpoint() as endpoint,
        httpx.AsyncClient(
            base_url=url,
            headers={"X-API-Token": _TOKEN},
            trust_env=False,
            timeout=_PATIENCE_SECONDS,
        ) as http,
    ):
        smtp.on("DATA", "451 4.3.0 come back: the subject was 'A secret'", times=1)
        pk = await send(http, smtp, endpoint)
        unknown = await http.get("/messages/nothing?tenant_id=acme", headers=named("r-2"))
        assert unknown.headers["X-Request-ID"] == "r-2"
        await http.get("/status", headers={**named("r-3"), "X-API-Token": "wrong"})
        await asyncio.to_thread(damage, database_url)
        fault = await http.get("/messages/order%207?tenant_id=acme", headers=named("r-4"))
        assert fault.status_code == 500
    await asyncio.to_thread(mail_proxy, "stop", "shop")
    log = mail_proxy.instance("shop").log_file.read_text()
    found = [parsed(line, log_format) for line in log.splitlines()]
    assert "secret" not in log

    whose = {"tenant_id": "acme", "account_id": "smtp", "message_id": "order 7"}
    each = {**whose, "message_pk": pk}
    told = [line for line in found if line.get("message_id") == "order 7"]
    reported = [line for line in told if line["action"] == "message.reported"]
    steps = [line for line in told if line not in reported]
    assert float(steps[1].pop("retry_ts")) > 1_700_000_000
    assert steps == [
        {"action": "message.queued", "request_id": "r-1", **whose},
        {"action": "message.deferred", **each, "code": "451"},
        {"action": "message.sent", **each, "code": "250"},
    ]
    assert reported == [
        {"action": "message.reported", **each, "event_type": "deferred"},
        {"action": "message.reported", **each, "event_type": "sent"},
    ]
    assert of_request(found, "r-1") == [
        ("message.queued", None, None),
        ("request.answered", "/commands/add-messages", "200"),
    ]
    assert of_request(found, "r-2") == [("request.answered", "/messages/{id}", "404")]
    assert of_request(found, "r-3") == [
        ("call.refused", None, "401"),
        ("request.answered", "/status", "401"),
    ]
    assert of_request(found, "r-4") == [
        ("request.answered", "/messages/{id}", "500"),
        ("request.failed", None, None),
    ]
    for line in (line for line in found if "error" in line):
        assert line["error"].startswith("JSONDecodeError")
        assert "sql/messages/mail_codec.py" in line["trace"]
    assert {"proxy.started", "proxy.stopped", "report.sent"} <= {x["action"] for x in found}


def named(request_id: str) -> dict[str, str]:
    return {"X-Request-ID": request_id}


async def send(http: httpx.AsyncClient, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint) -> str:
    """Hand a message in and wait until its delivery is reported; returns its pk."""
    account = {"id": "smtp", "tenant_id": "acme", "host": smtp.host, "port": smtp.port}
    message = {
        "id": "order 7",
        "tenant_id": "acme",
        "account_id": "smtp",
        "from": "a@example.org",
        "to": "b@example.net",
        "subject": "A secret",
        "body": "All the secrets",
    }
    for path, body in (
        ("/tenant", {"id": "acme", "client_base_url": endpoint.url}),
        ("/account", {**account, "tls": "none"}),
        ("/commands/add-messages", {"messages": [message]}),
    ):
        headers = named("r-1") if "messages" in body else {}
        (await http.post(path, json=body, headers=headers)).raise_for_status()
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            answer = await http.get("/messages/order%207/events?tenant_id=acme")
            events = answer.json()["events"]
            if all(e["reported_ts"] for e in events[1:]) and events[-1]["event_type"] == "sent":
                break
            await asyncio.sleep(0.05)
    shown = await http.get("/messages/order%207?tenant_id=acme")
    return str(shown.json()["message"]["pk"])


def damage(database_url: str) -> None:
    """What is stored of the mails cannot be read any more."""
    db = SqlDb(database_url)
    change = "UPDATE message_payload SET content = '{\"secret\"'"
    db.write_now(lambda connection: connection.exec_driver_sql(change).rowcount)
    db.dispose()


def parsed(line: str, log_format: str) -> Line:
    """Action and fields, as text; either form tells the same."""
    if log_format == "json":
        fields = json.loads(line)
        assert fields.pop("level") in {"debug", "info", "warning", "error"}
        assert fields.pop("message")
        fields.pop("ts")
        return {name: str(value) for name, value in fields.items()}
    pairs = [word.partition("=") for word in shlex.split(line) if "=" in word]
    return {name: value for name, _, value in pairs}


def of_request(found: list[Line], request_id: str) -> list[tuple[Any, ...]]:
    mine = [line for line in found if line.get("request_id") == request_id]
    return [(line["action"], line.get("route"), line.get("status")) for line in mine]
