"""POST /account/{id}/test"""

from __future__ import annotations

import ssl

import pytest
from tests.protocols.rest.client import Client

from mail_proxy.sql import SqlDb
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.sql.tables import Tables
from mail_proxy.testing.smtp_server import ScriptedSmtpServer


async def test_every_step_is_told(client: Client) -> None:
    async with ScriptedSmtpServer(users={"ann": "s3cret"}) as server:
        await client.account(server, user="ann", password="s3cret")
        answer = await client.ok("POST", "/account/smtp/test")
        assert answer["ok"] is True
        assert [(s["step"], s["ok"]) for s in answer["steps"]] == [
            ("connect", True),
            ("tls", True),
            ("login", True),
            ("quit", True),
        ]
        assert all(s["ms"] >= 0 for s in answer["steps"])
        assert server.accepted == []


async def test_it_ends_at_the_step_that_fails_and_shows_no_secret(client: Client) -> None:
    async with ScriptedSmtpServer(users={"ann": "s3cret"}) as server:
        server.on("AUTH", "535 5.7.8 wr0ng is not the password")
        await client.account(server, user="ann", password="wr0ng")
        response = await client("POST", "/account/smtp/test")
        assert response.status_code == 200
        answer = response.json()
        assert answer["ok"] is False
        assert [s["step"] for s in answer["steps"]] == ["connect", "tls", "login"]
        assert "535" in answer["steps"][-1]["detail"]
        assert "wr0ng" not in response.text
        assert "password" in answer["steps"][-1]["hint"]
    answer = await client.ok("POST", "/account/smtp/test")
    assert [(s["step"], s["ok"]) for s in answer["steps"]] == [("connect", False)]
    assert "587" in answer["steps"][0]["hint"]


async def test_a_tenant_key_reaches_its_own_accounts_only_and_leaves_a_trace(
    client: Client, smtp: ScriptedSmtpServer, db: SqlDb, tables: Tables
) -> None:
    key = await client.tenant("t")
    await client.account(smtp, tenant_id="default")
    await client.account(smtp, id="a/b", tenant_id="t")
    assert (await client("POST", "/account/smtp/test", token=key)).status_code == 404
    response = await client("POST", "/account/smtp/test?tenant_id=default", token=key)
    assert response.status_code == 403
    assert smtp.connections == 0
    assert (await client.ok("POST", "/account/a%2Fb/test", token=key))["ok"] is True
    rows = await db.read(lambda c: tables.command_log.select(c, tenant_id=EVERY_TENANT))
    audited = [(r["endpoint"], r["actor"], r["tenant_id"]) for r in rows]
    assert audited[-1] == ("POST /account/{id}/test", "tenant:t", "t")
    await client.ok("DELETE", "/account/a%2Fb?tenant_id=t")
    assert (await client("POST", "/account/a%2Fb/test", token=key)).status_code == 404


async def test_a_test_mail_is_sent_before_the_session_ends(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    answer = await client.ok("POST", "/account/smtp/test", {"to": "Ann <ann@example.org>"})
    assert [s["step"] for s in answer["steps"]] == ["connect", "tls", "login", "mail", "quit"]
    (mail,) = smtp.accepted
    assert (mail.mail_from, mail.recipients) == ("ann@example.org", ("ann@example.org",))

    smtp.on_recipient("ann@example.org", "550 5.7.1 relay access denied")
    answer = await client.ok("POST", "/account/smtp/test", {"to": "ann@example.org"})
    assert answer["ok"] is False
    assert answer["steps"][-1]["step"] == "mail"
    assert "relay access denied" in answer["steps"][-1]["detail"]
    assert answer["steps"][-1]["hint"]
    wrong = await client("POST", "/account/smtp/test", {"to": "no address"})
    assert (wrong.status_code, wrong.json()["detail"][0]["field"]) == (422, "to")


async def test_an_account_is_tested_before_it_is_saved(client: Client) -> None:
    async with ScriptedSmtpServer(users={"ann": "s3cret"}) as server:
        fields = {"host": server.host, "port": server.port, "tls": "none", "user": "ann"}
        answer = await client.ok("POST", "/account/test", {**fields, "password": "s3cret"})
        assert (answer["ok"], answer["resumed"]) == (True, 0)
        assert (await client.ok("GET", "/accounts"))["accounts"] == []

        await client.account(server, user="ann", password="s3cret", is_default=True)
        masked = {**fields, "id": "smtp", "password": "********", "is_default": False}
        assert (await client.ok("POST", "/account/test", masked))["ok"] is True
        moved = await client("POST", "/account/test", {**masked, "host": "localhost"})
        assert moved.status_code == 422
        assert "s3cret" not in moved.text
        (saved,) = (await client.ok("GET", "/accounts"))["accounts"]
        assert (saved["host"], saved["is_default"]) == (server.host, True)
    empty = await client("POST", "/account/test", {"port": 25})
    assert (empty.status_code, empty.json()["detail"][0]["field"]) == (422, "host")


async def test_a_wrong_tls_mode_is_found(client: Client, server_tls: ssl.SSLContext) -> None:
    async with ScriptedSmtpServer(tls_context=server_tls) as offers:
        fields = {"host": offers.host, "port": offers.port, "verify_cert": False}
        answer = await client.ok("POST", "/account/test", {**fields, "tls": "ssl"})
        assert answer["steps"][-1]["step"] == "tls"
        assert "use tls: starttls" in answer["steps"][-1]["hint"]
    async with ScriptedSmtpServer() as plain:
        fields = {"host": plain.host, "port": plain.port, "verify_cert": False}
        answer = await client.ok("POST", "/account/test", {**fields, "tls": "ssl"})
        assert "use tls: none" in answer["steps"][-1]["hint"]
        answer = await client.ok("POST", "/account/test", {**fields, "tls": "starttls"})
        assert (answer["steps"][-1]["step"], answer["ok"]) == ("tls", False)
        assert "tls: ssl" in answer["steps"][-1]["hint"]


async def test_certificates_and_names_are_explained(
    client: Client, server_tls: ssl.SSLContext
) -> None:
    async with ScriptedSmtpServer(tls_context=server_tls) as server:
        fields = {"host": server.host, "port": server.port, "tls": "starttls"}
        answer = await client.ok("POST", "/account/test", fields)
        assert "authority" in answer["steps"][-1]["hint"]
    answer = await client.ok("POST", "/account/test", {"host": "nowhere.invalid"})
    assert "no host nowhere.invalid" in answer["steps"][-1]["hint"]


async def test_a_good_test_ends_the_pause_of_the_account(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    smtp.on("connect", "554 5.7.1 no mail from you")
    await client.account(smtp)
    await client.add("m1", "m2", "m3")
    await client.in_state("deferred", "m1")
    assert (await client.ok("POST", "/account/smtp/test"))["resumed"] == 0
    assert (await client.message("m1"))["waiting"]["reason"] == "account_paused"
    smtp.forget_script()
    assert (await client.ok("POST", "/account/smtp/test"))["resumed"] == 3
    await client.in_state("sent", "m1", "m2", "m3")


@pytest.mark.parametrize("how", ["save", "run-now"])
async def test_a_save_and_run_now_end_the_pause_too(
    client: Client, smtp: ScriptedSmtpServer, how: str
) -> None:
    smtp.on("connect", "554 5.7.1 no mail from you")
    await client.account(smtp)
    await client.add("m1")
    await client.in_state("deferred", "m1")
    smtp.forget_script()
    if how == "save":
        await client.account(smtp)
    else:
        await client.ok("POST", "/commands/run-now")
    await client.in_state("sent", "m1")
