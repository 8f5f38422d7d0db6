"""POST /account/{id}/test"""

from __future__ import annotations

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
    answer = await client.ok("POST", "/account/smtp/test")
    assert [(s["step"], s["ok"]) for s in answer["steps"]] == [("connect", False)]


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
