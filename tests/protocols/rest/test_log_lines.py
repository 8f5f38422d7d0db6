"""Log lines at the default level about accounts, given-up messages, and calls."""

from __future__ import annotations

import logging

import pytest
from tests.harness.log_lines import lines
from tests.protocols.rest.client import Client

from mail_proxy.testing.smtp_server import ScriptedSmtpServer


@pytest.fixture(autouse=True)
def _default_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mail_proxy")


async def test_a_call_that_changes_nothing_visible_leaves_its_request_id(
    idle: Client, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"X-API-Token": "admin-token", "X-Request-ID": "try-again-7"}
    response = await idle.http.post("/commands/run-now?tenant_id=default", headers=headers)
    assert response.status_code == 200
    (line,) = [x for x in lines(caplog, "call.done") if x.get("request_id") == "try-again-7"]
    assert line == {
        "request_id": "try-again-7",
        "operation": "service.run_now",
        "tenant_id": "default",
        "actor": "admin",
        "address": "127.0.0.1",
    }
    await idle.ok("GET", "/messages")
    assert [x["operation"] for x in lines(caplog, "call.done")] == ["service.run_now"]


async def test_an_account_in_trouble_from_its_begin_to_its_end(
    client: Client, smtp: ScriptedSmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    smtp.on("connect", "554 5.7.1 no mail from you", times=1)
    await client.account(smtp)
    await client.add("m")
    await client.in_state("deferred", "m")
    (paused,) = lines(caplog, "account.paused")
    assert paused["server"] == f"{smtp.host}:{smtp.port}"
    assert (paused["tenant_id"], paused["account_id"]) == ("default", "smtp")
    assert paused["retry_ts"] >= (await client.message("m"))["waiting"]["until"]
    await client.ok("POST", "/commands/run-now")
    await client.in_state("sent", "m")
    (healed,) = lines(caplog, "account.healed")
    assert (healed["tenant_id"], healed["account_id"]) == ("default", "smtp")
    assert healed["seconds"] >= 0
    assert {r.levelname for r in caplog.records if "action=account." in str(r.msg)} == {"WARNING"}


async def test_a_pause_that_is_ended_on_request(
    client: Client, smtp: ScriptedSmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    smtp.on("connect", "554 5.7.1 no mail from you", times=1)
    await client.account(smtp)
    await client.add("m")
    await client.in_state("deferred", "m")
    assert lines(caplog, "account.resumed") == []
    answer = await client.ok("POST", "/account/smtp/test")
    assert (answer["ok"], answer["resumed"]) == (True, 1)
    (resumed,) = lines(caplog, "account.resumed")
    assert (resumed["tenant_id"], resumed["account_id"]) == ("default", "smtp")
    assert resumed["request_id"]


async def test_messages_that_are_given_up_with_their_account(
    idle: Client, caplog: pytest.LogCaptureFixture
) -> None:
    await idle.add("m1", "m2")
    await idle.ok("DELETE", "/account/smtp")
    (line,) = lines(caplog, "messages.given_up")
    del line["request_id"]
    assert line == {
        "tenant_id": "default",
        "account_id": "smtp",
        "messages": 2,
        "reason": "account deleted",
    }
