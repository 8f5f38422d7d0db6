"""``MailProxy.handle_command`` does what the API does and answers as it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.protocols.rest.client import ONE_DATABASE

from mail_proxy import MailProxy
from mail_proxy.config import ProxyConfig
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

MAIL = {"id": "m1", "from": "a@example.org", "to": "b@example.net", "subject": "s"}
ACCOUNT = {"id": "smtp", "host": "127.0.0.1", "tls": "none"}
DONE = {"ok": True}


@pytest.fixture
async def proxy(config: ProxyConfig) -> AsyncIterator[MailProxy]:
    """It takes messages and sends none."""
    async with await MailProxy.create(config.model_copy(update={"scheduler_active": False})) as it:
        yield it


async def test_a_message_is_sent(config: ProxyConfig, smtp: ScriptedSmtpServer) -> None:
    async with await MailProxy.create(config) as proxy:
        account = await proxy.handle_command("addAccount", {**ACCOUNT, "port": smtp.port})
        assert (account["ok"], account["id"]) == (True, "smtp")
        answer = await proxy.handle_command("addMessages", {"messages": [MAIL, {"id": "bad"}]})
        assert (answer["ok"], answer["queued"]) == (True, 1)
        assert [r["id"] for r in answer["rejected"]] == ["bad"]
        assert await proxy.handle_command("run now") == DONE
        await smtp.received(1)


async def test_messages(proxy: MailProxy) -> None:
    await proxy.handle_command("addAccount", ACCOUNT)
    await proxy.handle_command("addMessages", {"messages": [{**MAIL, "batch_code": "june"}]})
    listed = await proxy.handle_command("listMessages", {"status": "pending", "limit": 5})
    assert [(m["id"], m["from"]) for m in listed["messages"]] == [("m1", "a@example.org")]
    assert listed["next_cursor"] is None
    for command, batches in (("suspend", ["june"]), ("activate", [])):
        answer = await proxy.handle_command(command, {"batch_code": "june"})
        assert (answer["suspended_batches"], answer["pending_messages"]) == (batches, 1)
    removed = await proxy.handle_command("deleteMessages", {"ids": ["m1", "m2"]})
    assert (removed["removed"], removed["not_found"]) == (1, ["m2"])
    assert await proxy.handle_command("cleanupMessages", {"older_than_seconds": 0}) == {
        "ok": True,
        "removed": 0,
    }


async def test_accounts_and_tenants(proxy: MailProxy) -> None:
    made = await proxy.handle_command("addTenant", {"id": "acme", "name": "Acme"})
    assert len(made["api_key"]) == 43
    await proxy.handle_command("addAccount", {**ACCOUNT, "tenant_id": "acme"})
    found = await proxy.handle_command("listAccounts", {"tenant_id": "acme"})
    assert [a["id"] for a in found["accounts"]] == ["smtp"]
    assert await proxy.handle_command("run now", {"tenant_id": "acme"}) == DONE
    gone = {"id": "smtp", "tenant_id": "acme"}
    assert await proxy.handle_command("deleteAccount", gone) == DONE
    changed = await proxy.handle_command("updateTenant", {"id": "acme", "active": False})
    assert changed["tenant"]["active"] is False
    shown = await proxy.handle_command("getTenant", {"id": "acme"})
    assert shown == changed
    active = await proxy.handle_command("listTenants", {"active_only": True})
    assert [t["id"] for t in active["tenants"]] == ["default"]
    status = await proxy.handle_command("listTenantsSyncStatus")
    assert [t["id"] for t in status["tenants"]] == ["acme", "default"]
    assert await proxy.handle_command("deleteTenant", {"id": "acme"}) == DONE


@ONE_DATABASE
@pytest.mark.parametrize(
    ("command", "payload", "error"),
    [
        ("addMessages", {"messages": []}, "no usable message"),
        ("addMessages", {"messages": [MAIL], "x": 1}, "x: unknown field"),
        ("addMessages", {}, "messages: required"),
        ("addAccount", {"id": "new"}, "host: required"),
        ("addAccount", {"id": "new", "host": "h", "prot": 1}, "prot: unknown field"),
        ("suspend", {"batch": "june"}, "batch: unknown field"),
        ("suspend", {"tenant_id": "nobody"}, "no such tenant"),
        ("deleteMessages", {"tenant_id": 7, "ids": []}, "tenant_id: "),
        ("listMessages", {"limit": 0}, "limit: "),
        ("getTenant", {}, "id: "),
        ("updateTenant", {"name": "x"}, "id: "),
        ("deleteTenant", {"id": "default"}, "the tenant default cannot be removed"),
        ("run now", {"now": True}, "now: unknown field"),
        ("cleanupMessages", {"older_than_seconds": -1}, "older_than_seconds: "),
    ],
)
async def test_what_is_wrong_with_a_call_is_its_answer(
    proxy: MailProxy, command: str, payload: dict[str, Any], error: str
) -> None:
    answer = await proxy.handle_command(command, payload)
    assert answer["ok"] is False
    assert answer["error"].startswith(error)
    assert "detail" in answer


@ONE_DATABASE
async def test_an_unknown_command_is_one(proxy: MailProxy) -> None:
    unknown = {"ok": False, "error": "unknown command"}
    for name in ("addmessages", "", "__init__", "run_now"):
        assert await proxy.handle_command(name, {}) == unknown


async def test_a_wrong_address_right_after_a_new_account_is_the_only_mistake(
    proxy: MailProxy,
) -> None:
    """The process has not read the account yet."""
    await proxy.handle_command("addMessages", {"messages": [MAIL]})
    await proxy.handle_command("addAccount", ACCOUNT)
    wrong = {**MAIL, "to": ["nobody"], "account_id": "smtp"}
    answer = await proxy.handle_command("addMessages", {"messages": [wrong]})
    (rejected,) = answer["detail"]["rejected"]
    assert "account" not in str(rejected["reason"])
