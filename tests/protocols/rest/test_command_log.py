"""The audit log: what is in it, and what can be done with it"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client, calling, serving

from mail_proxy.config import ProxyConfig
from mail_proxy.features.registry import OPERATIONS

MAIL = {"from": "a@example.org", "to": "b@example.net", "subject": "s", "body": "hunter22"}
SECRETS = {
    "client_auth": {"method": "basic", "user": "u", "password": "hunter22"},
    "signing_secret": "whsec_hunter22" + "x" * 24,
}
#: A call of every operation that changes something, in an order in which they go.
CALLS: dict[str, tuple[str, str, Any]] = {
    "tenants.save": ("POST", "/tenant", {"id": "acme", **SECRETS}),
    "tenants.update": ("PUT", "/tenant/acme", {"name": "Acme", **SECRETS}),
    "tenants.make_key": ("POST", "/tenant/acme/api-key", {"expires_at": 4_000_000_000}),
    "tenants.revoke_key": ("DELETE", "/tenant/acme/api-key", None),
    "accounts.save": (
        "POST",
        "/account",
        {"id": "a", "host": "127.0.0.1", "password": "hunter22", "tenant_id": "acme"},
    ),
    "accounts.test": ("POST", "/account/a/test?tenant_id=acme", None),
    "accounts.test_unsaved": (
        "POST",
        "/account/test",
        {"host": "127.0.0.1", "password": "hunter22", "tenant_id": "acme"},
    ),
    "messages.add": (
        "POST",
        "/commands/add-messages",
        {"messages": [{**MAIL, "id": "m", "tenant_id": "acme"}]},
    ),
    "suspend": ("POST", "/commands/suspend?tenant_id=acme&batch_code=b", None),
    "activate": ("POST", "/commands/activate?tenant_id=acme", None),
    "service.run_now": ("POST", "/commands/run-now", None),
    "ui_sessions.link": ("POST", "/ui-link", None),
    "ui_sessions.end_all": ("POST", "/ui-sessions/end?tenant_id=acme", None),
    "messages.retry": ("POST", "/commands/retry-messages?tenant_id=acme", {"batch_code": "b"}),
    "messages.cleanup": ("POST", "/commands/cleanup-messages?tenant_id=acme", None),
    "messages.delete": ("POST", "/commands/delete-messages?tenant_id=acme", {"ids": ["m"]}),
    "dkim.create": (
        "POST",
        "/dkim?tenant_id=acme",
        {"domain": "example.org", "algorithm": "ed25519-sha256"},
    ),
    "dkim.check": ("POST", "/dkim/example.org/gmp1/check?tenant_id=acme", None),
    "dkim.delete": ("DELETE", "/dkim/example.org/gmp1?tenant_id=acme", None),
    "storages.save": (
        "POST",
        "/storage",
        {
            "name": "docs",
            "protocol": "zip",
            "config": {"url": "zip://x.zip", "options": {"fo": "x", "password": "hunter22"}},
            "tenant_id": "acme",
        },
    ),
    "storages.delete": ("DELETE", "/storage/docs?tenant_id=acme", None),
    "suppressions.add": (
        "POST",
        "/suppression",
        {"address": "bob@example.net", "tenant_id": "acme"},
    ),
    "suppressions.import": (
        "POST",
        "/suppressions/import?tenant_id=acme",
        "bob@example.net",
    ),
    "suppressions.delete": ("DELETE", "/suppression/bob@example.net?tenant_id=acme", None),
    "bounces.save": ("PUT", "/instance/bounce", {"imap_password": "hunter22"}),
    "bounces.reload": ("POST", "/instance/bounce/reload", None),
    "bounces.test": ("POST", "/instance/bounce/test", None),
    "command_log.replay": ("POST", "/command-log/replay", None),
    "accounts.delete": ("DELETE", "/account/a?tenant_id=acme", None),
    "tenants.delete": ("DELETE", "/tenant/acme", None),
    "instance.update": ("PUT", "/instance", {"settings": {"default_priority": "high"}}),
    "command_log.purge": ("POST", "/command-log/purge", {"older_than_seconds": 1000}),
    "alerts.test": ("POST", "/alerts/test", None),
}
#: Refused here, because they need what this service does not have. They have tests of their own.
_REFUSED = {"command_log.replay", "alerts.test", "bounces.test"}
_ABOUT_NOBODY = {
    *("service.run_now", "instance.update", "command_log.replay", "command_log.purge"),
    "ui_sessions.link",
    *("bounces.save", "bounces.reload", "bounces.test"),
}


def mutating() -> set[str]:
    """The names of all operations that change something."""
    return {operation.name for operation in OPERATIONS if operation.mutates}


async def commands(client: Client, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.ok("GET", f"/command-log{query}"))["commands"]
    return found


async def export(client: Client, query: str = "") -> list[dict[str, Any]]:
    response = await client("GET", f"/command-log/export{query}")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def test_every_operation_that_changes_something_is_called_here() -> None:
    assert mutating() == set(CALLS)


async def test_every_change_is_in_the_log_without_its_secrets(idle: Client) -> None:
    await idle.ok("DELETE", "/account/smtp")
    for number, (name, (method, path, body)) in enumerate(CALLS.items()):
        headers = {"X-API-Token": "admin-token", "X-Request-ID": f"call-{number}"}
        response = await idle.http.request(method, path, headers=headers, json=body)
        assert response.status_code == (409 if name in _REFUSED else 200), name
    newest_last = reversed(await commands(idle))
    found = {c["operation"]: c for c in newest_last if c["status"] == 200}
    for number, (name, (method, _, _)) in enumerate(CALLS.items()):
        if name in _REFUSED:
            continue
        entry = found[name]
        assert entry["request_id"] == f"call-{number}"
        assert entry["endpoint"].startswith(f"{method} /")
        assert (entry["actor"], entry["address"]) == ("admin", "127.0.0.1")
        assert entry["tenant_id"] == (None if name in _ABOUT_NOBODY else "acme")
        assert entry["error"] is None
        assert await idle.ok("GET", f"/command-log/{entry['id']}") == {
            "ok": True,
            "command": entry,
        }
    assert "hunter22" not in (await idle("GET", "/command-log?limit=1000")).text
    assert found["accounts.save"]["payload"]["password"] == "********"
    assert (await idle("GET", "/command-log/999999")).status_code == 404


async def test_failed_log_ins_and_refused_calls_are_in_the_log(idle: Client) -> None:
    key = await idle.tenant("acme")
    await idle("GET", "/messages", token="guess-hunter22")
    await idle.http.get("/messages")
    await idle("GET", "/tenants", token=key)
    await idle("PUT", "/tenant/acme", {"active": False, "signing_secret": "********"}, token=key)
    messages = {"messages": [{**MAIL, "id": "m", "tenant_id": "default"}]}
    await idle("POST", "/commands/add-messages", messages, token=key)
    await idle.ok("PUT", "/tenant/acme", {"active": False})
    await idle("GET", "/status", token=key)
    found = [c for c in await commands(idle) if c["status"] != 200]
    seen = [(c["status"], c["endpoint"], c["operation"], c["actor"]) for c in reversed(found)]
    assert seen == [
        (401, "GET /messages", None, "nobody"),
        (401, "GET /messages", None, "nobody"),
        (403, "GET /tenants", None, "tenant:acme"),
        (403, "PUT /tenant/{id}", "tenants.update", "tenant:acme"),
        (403, "POST /commands/add-messages", "messages.add", "tenant:acme"),
        (403, "GET /status", None, "tenant:acme"),
    ]
    assert all(c["request_id"] and c["address"] == "127.0.0.1" and c["error"] for c in found)
    assert found[2]["payload"] == {"active": False, "signing_secret": "********"}
    assert "hunter22" not in str(found)


async def test_guessing_cannot_fill_the_log(idle: Client) -> None:
    for network in range(60):
        async with calling(idle.app, f"192.0.2.{network}") as guesser:
            for _ in range(19):
                await guesser("GET", "/status", token="no")
    assert len([c for c in await export(idle) if c["status"] == 401]) in range(1000, 1010)


async def test_the_log_is_listed_newest_first_and_filtered(idle: Client) -> None:
    for tenant in ("a", "b"):
        await idle.ok("POST", "/tenant", {"id": tenant})
        account = {"id": "smtp", "host": "127.0.0.1", "tenant_id": tenant}
        await idle.ok("POST", "/account", account)
    everything = await commands(idle)
    assert [c["id"] for c in everything] == sorted((c["id"] for c in everything), reverse=True)
    of_a = await commands(idle, "?tenant_id=a")
    assert [c["operation"] for c in of_a] == ["accounts.save", "tenants.save"]
    for endpoint in ("/account", "POST%20/account", "accounts.save"):
        found = await commands(idle, f"?endpoint={endpoint}")
        assert [c["tenant_id"] for c in found] == ["b", "a", "default"]
    assert await commands(idle, "?endpoint=/accounts") == []
    assert await commands(idle, "?limit=2&offset=1") == everything[1:3]
    then = everything[0]["command_ts"]
    assert await commands(idle, f"?since_ts={then + 100}") == []
    assert await commands(idle, f"?until_ts={then - 100}") == []
    assert await commands(idle, f"?since_ts={then - 100}&until_ts={then + 100}") == everything
    assert await export(idle) == everything[::-1]
    assert await export(idle, "?tenant_id=a") == of_a[::-1]


@ONE_DATABASE
@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "offset=-1", "since_ts=x", "limit=x"])
async def test_a_filter_that_makes_no_sense_is_422(idle: Client, query: str) -> None:
    response = await idle("GET", f"/command-log?{query}")
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == query.partition("=")[0]


async def test_an_export_goes_over_many_pages(idle: Client) -> None:
    for _ in range(1003):
        await idle.ok("POST", "/commands/run-now")
    lines = await export(idle, "?endpoint=/commands/run-now")
    assert len(lines) == 1003
    assert [c["id"] for c in lines] == sorted({c["id"] for c in lines})


async def test_purging_leaves_what_is_young_and_the_entry_about_itself(idle: Client) -> None:
    before = await commands(idle)
    assert before
    purge = "/command-log/purge"
    assert (await idle.ok("POST", purge, {"older_than_seconds": 1000}))["removed"] == 0
    assert (await idle.ok("POST", purge))["removed"] == 0
    answer = await idle.ok("POST", purge, {"older_than_seconds": 0})
    assert answer == {"ok": True, "removed": len(before) + 2}
    assert [c["operation"] for c in await commands(idle)] == ["command_log.purge"]


@pytest.fixture
async def empty(config: ProxyConfig, tmp_path: Path) -> AsyncIterator[Client]:
    """Another instance, in which nothing has happened yet."""
    other = {"db_path": str(tmp_path / "other.db"), "scheduler_active": False}
    async with serving(config.model_copy(update=other)) as client:
        yield client


async def replay(client: Client, lines: list[dict[str, Any]]) -> Any:
    body = "\n".join(json.dumps(line) for line in lines)
    headers = {"X-API-Token": "admin-token"}
    return await client.http.post("/command-log/replay", content=body, headers=headers)


async def owned(client: Client) -> list[Any]:
    """All tenants with their accounts, without secrets and what is new in each instance."""
    tenants = (await client.ok("GET", "/tenants"))["tenants"]
    found: list[Any] = [(await client.ok("GET", "/instance"))["instance"]["settings"]]
    for tenant in tenants:
        path = f"/accounts?tenant_id={tenant['id']}"
        accounts = (await client.ok("GET", path))["accounts"]
        for one in (tenant, *accounts):
            for secret in ("client_auth", "signing_secret", "password", "pk", "has_api_key"):
                one.pop(secret, None)
        del tenant["updated_at"]  # new keys change it, and are not replayed
        if tenant["id"] == "default":
            del tenant["created_at"]
        found.append((tenant, accounts))
    return found


async def test_a_replay_makes_the_same_tenants_and_accounts_anew(
    idle: Client, empty: Client
) -> None:
    key = await idle.tenant("b")
    for name, (method, path, body) in CALLS.items():
        if name not in {"tenants.delete", "accounts.delete", *_REFUSED}:
            await idle.ok(method, path, body)
    account = {"id": "second", "host": "mail.example", "port": 465, "tls": "ssl", "ttl": 60}
    await idle.ok("POST", "/account", {**account, "limit_per_hour": 5}, token=key)
    await idle.ok("POST", "/account", {"id": "second", "is_default": True}, token=key)
    await idle.ok("POST", "/account", {"id": "gone", "host": "mail.example"}, token=key)
    await idle.ok("DELETE", "/account/gone", token=key)
    await idle.ok("POST", "/commands/suspend?batch_code=winter", token=key)
    await idle.tenant("c")
    await idle.ok("DELETE", "/tenant/c")
    await idle.ok("PUT", "/tenant/default", {"name": "Ours"})
    lines = await export(idle)

    answer = (await replay(empty, lines)).json()
    assert answer["ok"] is True
    assert answer["replayed"] + answer["skipped"] == len(lines)
    assert await owned(empty) == await owned(idle)
    again = await export(empty)
    assert [c["operation"] for c in again][-1] == "command_log.replay"
    assert len(again) == answer["replayed"] + 1
    second = await replay(empty, lines)
    assert second.status_code == 409
    assert "empty instance" in second.json()["error"]


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"payload": {"id": "a", "host": "h", "nonsense": 1}}, 422, "line 2: nonsense"),
        ({"tenant_id": "nobody"}, 409, "line 2: accounts.save"),
        ({"status": "x"}, 422, "line 2: status"),
        ({"operation": "accounts.delete", "payload": {"id": "nobody"}}, 409, "no such account"),
        ({"operation": "accounts.delete", "payload": {}}, 422, "line 2"),
        ({"operation": "suspend", "payload": None}, 422, "line 2"),
    ],
)
async def test_a_replay_that_goes_wrong_changes_nothing_and_names_the_line(
    empty: Client, change: dict[str, Any], status: int, words: str
) -> None:
    shared = {"command_ts": 1, "status": 200, "tenant_id": "t"}
    made = {**shared, "operation": "tenants.save", "payload": {"id": "t"}}
    account = {**shared, "operation": "accounts.save", "payload": {"id": "a", "host": "h"}}
    response = await replay(empty, [made, {**account, **change}])
    assert response.status_code == status
    assert words in response.json()["error"]
    assert [t["id"] for t in (await empty.ok("GET", "/tenants"))["tenants"]] == ["default"]


@ONE_DATABASE
async def test_what_is_no_export_is_422(empty: Client) -> None:
    headers = {"X-API-Token": "admin-token"}
    for body in (b"{", b"[]\n", b'{"a": 1}\n', b"\xff"):
        response = await empty.http.post("/command-log/replay", content=body, headers=headers)
        assert response.status_code == 422
        assert "line 1" in response.json()["error"]


@ONE_DATABASE
async def test_a_line_that_is_no_logged_call_is_too_large(empty: Client) -> None:
    headers = {"X-API-Token": "admin-token"}
    values = b'{"payload": [' + b"1," * 20_000 + b"1]}"
    for line in (values, b'{"payload": "' + b"x" * 4_000_000 + b'"}'):
        body = b"\n\r\n" + line + b"\n"
        response = await empty.http.post("/command-log/replay", content=body, headers=headers)
        assert response.status_code == 413
        assert "allowed: " in response.json()["error"]
