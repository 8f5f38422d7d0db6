"""A tenant's key sees and touches that tenant's data and no other's."""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client
from tests.protocols.rest.parity import doors

from mail_proxy.features.registry import OPERATIONS
from mail_proxy.operations.operation import Scope
from mail_proxy.server import create_app
from mail_proxy.sql import SqlDb
from mail_proxy.sql.tables import Tables

MAIL = {"from": "a@example.org", "to": "b@example.net", "subject": "s", "body": "b"}


@pytest.fixture
async def mine(idle: Client) -> str:
    """Key of the tenant ``mine``; beside it there is ``other`` with an account and a message."""
    key = await idle.tenant("mine")
    await idle.tenant("other")
    for tenant in ("mine", "other"):
        account = {"id": "smtp", "host": f"{tenant}.example", "tenant_id": tenant}
        await idle.ok("POST", "/account", account)
        records = [{**MAIL, "id": i, "tenant_id": tenant} for i in ("same", tenant)]
        await idle.ok("POST", "/commands/add-messages", {"messages": records})
    return key


#: Every route that a tenant's key reaches, aimed at another tenant: first by its name, then by
#: identifiers that only that tenant has. "{t}" is the tenant.
_ADD = {"messages": [{**MAIL, "id": "other", "tenant_id": "{t}"}]}
_DKIM = {"domain": "theirs.example", "algorithm": "ed25519-sha256"}
_STORAGE = {"name": "theirs", "protocol": "memory", "config": {}}
AIMED: dict[tuple[str, str], list[tuple[str, Any]]] = {
    ("GET", "/status"): [("/status", None)],
    ("GET", "/stats"): [
        ("/stats?tenant_id={t}", None),
        ("/stats?by=account", None),
    ],
    ("POST", "/commands/run-now"): [("/commands/run-now?tenant_id={t}", None)],
    ("POST", "/ui-sessions/end"): [("/ui-sessions/end?tenant_id={t}", None)],
    ("POST", "/commands/suspend"): [
        ("/commands/suspend?tenant_id={t}", None),
        ("/commands/suspend?tenant_id={t}&batch_code=b", None),
    ],
    ("POST", "/commands/activate"): [("/commands/activate?tenant_id={t}", None)],
    ("POST", "/commands/add-messages"): [("/commands/add-messages", _ADD)],
    ("POST", "/commands/delete-messages"): [
        ("/commands/delete-messages?tenant_id={t}", {"ids": ["same", "other"]}),
        ("/commands/delete-messages", {"ids": ["other"]}),
    ],
    ("POST", "/commands/retry-messages"): [
        ("/commands/retry-messages?tenant_id={t}", {"ids": ["same", "other"]}),
        ("/commands/retry-messages", {"ids": ["other"]}),
        ("/commands/retry-messages", {"batch_code": "theirs"}),
    ],
    ("POST", "/commands/cleanup-messages"): [
        ("/commands/cleanup-messages?tenant_id={t}", {"older_than_seconds": 0}),
        ("/commands/cleanup-messages", {"older_than_seconds": 0}),
    ],
    ("GET", "/messages"): [
        ("/messages?tenant_id={t}", None),
        ("/messages?id=other", None),
        ("/messages?batch_code=theirs", None),
        ("/messages?account_id=theirs", None),
        ("/messages?q=secret", None),
        ("/messages?cursor={cursor}", None),
    ],
    ("GET", "/messages/{id}"): [
        ("/messages/same?tenant_id={t}", None),
        ("/messages/other", None),
    ],
    ("GET", "/messages/{id}/events"): [
        ("/messages/same/events?tenant_id={t}", None),
        ("/messages/other/events", None),
    ],
    ("GET", "/messages/{id}/receipts"): [
        ("/messages/same/receipts?tenant_id={t}", None),
        ("/messages/other/receipts", None),
    ],
    ("GET", "/messages/{id}/receipts/{sha256}"): [
        (f"/messages/same/receipts/{'0' * 64}?tenant_id={{t}}", None),
        (f"/messages/other/receipts/{'0' * 64}", None),
    ],
    ("GET", "/messages/{id}/replies"): [
        ("/messages/same/replies?tenant_id={t}", None),
        ("/messages/other/replies", None),
    ],
    ("POST", "/account"): [
        ("/account", {"id": "smtp", "host": "evil.example", "tenant_id": "{t}"}),
    ],
    ("GET", "/accounts"): [("/accounts?tenant_id={t}", None), ("/accounts", None)],
    ("GET", "/account/{id}"): [
        ("/account/smtp?tenant_id={t}", None),
        ("/account/theirs", None),
    ],
    ("DELETE", "/account/{id}"): [
        ("/account/smtp?tenant_id={t}", None),
        ("/account/theirs", None),
    ],
    ("POST", "/account/test"): [
        ("/account/test", {"host": "127.0.0.1", "tenant_id": "{t}"}),
    ],
    ("POST", "/account/{id}/test"): [
        ("/account/smtp/test?tenant_id={t}", None),
        ("/account/theirs/test", None),
    ],
    ("POST", "/dkim"): [
        ("/dkim?tenant_id={t}", _DKIM),
        ("/dkim", {**_DKIM, "tenant_id": "{t}"}),
    ],
    ("GET", "/dkim"): [("/dkim?tenant_id={t}", None), ("/dkim", None)],
    ("DELETE", "/dkim/{domain}/{selector}"): [
        ("/dkim/theirs.example/gmp1?tenant_id={t}", None),
        ("/dkim/theirs.example/gmp1", None),
    ],
    ("POST", "/dkim/{domain}/{selector}/check"): [
        ("/dkim/theirs.example/gmp1/check?tenant_id={t}", None),
        ("/dkim/theirs.example/gmp1/check", None),
    ],
    ("POST", "/storage"): [
        ("/storage?tenant_id={t}", _STORAGE),
        ("/storage", {**_STORAGE, "tenant_id": "{t}"}),
    ],
    ("GET", "/storages"): [("/storages?tenant_id={t}", None), ("/storages", None)],
    ("GET", "/storage/{name}"): [
        ("/storage/theirs?tenant_id={t}", None),
        ("/storage/theirs", None),
    ],
    ("DELETE", "/storage/{name}"): [
        ("/storage/theirs?tenant_id={t}", None),
        ("/storage/theirs", None),
    ],
    ("POST", "/suppression"): [
        ("/suppression?tenant_id={t}", {"address": "a@theirs.example"}),
        ("/suppression", {"address": "a@theirs.example", "tenant_id": "{t}"}),
    ],
    ("GET", "/suppressions"): [
        ("/suppressions?tenant_id={t}", None),
        ("/suppressions?address=bob@theirs.example", None),
        ("/suppressions", None),
    ],
    ("GET", "/suppressions/export"): [
        ("/suppressions/export?tenant_id={t}", None),
        ("/suppressions/export", None),
    ],
    ("POST", "/suppressions/import"): [
        ("/suppressions/import?tenant_id={t}", "a@theirs.example"),
    ],
    ("DELETE", "/suppression/{address}"): [
        ("/suppression/bob@theirs.example?tenant_id={t}", None),
        ("/suppression/bob@theirs.example", None),
    ],
    ("GET", "/tenant/{id}"): [("/tenant/{t}", None)],
    ("PUT", "/tenant/{id}"): [("/tenant/{t}", {"name": "mine now"})],
    ("GET", "/tenant/{id}/sync-log"): [("/tenant/{t}/sync-log", None)],
}
#: Every route of the administrator alone.
ADMINS: dict[tuple[str, str], tuple[str, Any]] = {
    ("POST", "/tenant"): ("/tenant", {"id": "{t}", "name": "mine now"}),
    ("GET", "/tenants"): ("/tenants", None),
    ("GET", "/tenants/sync-status"): ("/tenants/sync-status", None),
    ("DELETE", "/tenant/{id}"): ("/tenant/{t}", None),
    ("POST", "/tenant/{id}/api-key"): ("/tenant/{t}/api-key", None),
    ("DELETE", "/tenant/{id}/api-key"): ("/tenant/{t}/api-key", None),
    ("GET", "/instance"): ("/instance", None),
    ("PUT", "/instance"): ("/instance", {"name": "mine now"}),
    ("GET", "/instance/bounce"): ("/instance/bounce", None),
    ("PUT", "/instance/bounce"): ("/instance/bounce", {"enabled": False}),
    ("POST", "/instance/bounce/reload"): ("/instance/bounce/reload", None),
    ("POST", "/instance/bounce/test"): ("/instance/bounce/test", None),
    ("GET", "/command-log"): ("/command-log?tenant_id={t}", None),
    ("GET", "/command-log/{id}"): ("/command-log/1", None),
    ("GET", "/command-log/export"): ("/command-log/export", None),
    ("POST", "/command-log/purge"): ("/command-log/purge", {"older_than_seconds": 0}),
    ("POST", "/alerts/test"): ("/alerts/test", None),
    ("POST", "/ui-link"): ("/ui-link", None),
    ("POST", "/command-log/replay"): ("/command-log/replay", None),
}
PUBLIC = {
    ("GET", path) for path in ("/health", "/ready", "/metrics", "/files/{token}/{filename}")
} | {(method, "/u/{token}") for method in ("GET", "POST")}
TENANTS = ("other", "default", "nobody")
#: What only the other tenant has, in answers as in data.
_THEIRS = ("other.example", "theirs", "secret subject")


def routes_of(*scopes: Scope) -> set[tuple[str, str]]:
    """The routes to all operations of these scopes."""
    names = [operation.name for operation in OPERATIONS if operation.scope in scopes]
    return {(door.method, door.path) for name in names for door in doors()[name]}


def test_no_operation_is_left_out_of_these_tests() -> None:
    assert routes_of(Scope.TENANT, Scope.TENANT_OR_ALL) == set(AIMED)
    assert routes_of(Scope.ADMIN) == set(ADMINS)


def test_no_route_is_left_out_of_these_tests() -> None:
    paths: dict[str, Any] = create_app().openapi()["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert served == set(AIMED) | set(ADMINS) | PUBLIC


async def belongings(client: Client, tenant: str) -> Any:
    """All that a tenant has, as the administrator sees it."""
    paths = (
        "/messages?tenant_id={t}",
        "/accounts?tenant_id={t}",
        "/tenant/{t}",
        "/dkim?tenant_id={t}",
        "/storages?tenant_id={t}",
        "/suppressions?tenant_id={t}",
        "/stats?tenant_id={t}&by=account",
    )
    found = [await client.ok("GET", path.format(t=tenant)) for path in paths]
    for message in found[0]["messages"]:
        path = f"/messages/{message['id']}/events?tenant_id={tenant}"
        found.append(await client.ok("GET", path))
    return found


@pytest.fixture
async def theirs(idle: Client, mine: str) -> Any:
    """More of the tenant ``other``, under names that ``mine`` does not have."""
    account = {"id": "theirs", "host": "other.example", "tenant_id": "other"}
    await idle.ok("POST", "/account", account)
    mail = {**MAIL, "account_id": "smtp", "batch_code": "theirs", "subject": "secret subject"}
    body = {"messages": [{**mail, "id": "third", "tenant_id": "other"}]}
    await idle.ok("POST", "/commands/add-messages", body)
    await idle.ok("POST", "/dkim?tenant_id=other", _DKIM)
    await idle.ok("POST", "/storage?tenant_id=other", _STORAGE)
    suppressed = {"address": "bob@theirs.example", "tenant_id": "other"}
    await idle.ok("POST", "/suppression", suppressed)
    return await belongings(idle, "other")


@pytest.mark.parametrize("route", sorted(AIMED), ids=" ".join)
async def test_a_tenants_key_neither_sees_nor_touches_another_tenant(
    idle: Client, mine: str, theirs: Any, route: tuple[str, str]
) -> None:
    cursor = theirs[0]["messages"][0]["pk"]
    for path, body in AIMED[route]:
        named = "{t}" in path or "{t}" in str(body)
        for tenant in TENANTS if named else ("other",):
            aimed = path.format(t=tenant, cursor=cursor)
            response = await idle(route[0], aimed, _filled(body, tenant), token=mine)
            if named:
                assert response.status_code == 403
                assert response.json()["error"] == "this token does not reach that tenant"
            else:
                assert response.status_code in (200, 404)
            assert not [secret for secret in _THEIRS if secret in response.text]
    assert await belongings(idle, "other") == theirs


@ONE_DATABASE
@pytest.mark.parametrize("route", sorted(ADMINS), ids=" ".join)
async def test_a_tenants_key_is_refused_by_the_administrators_routes(
    idle: Client, mine: str, theirs: Any, route: tuple[str, str]
) -> None:
    path, body = ADMINS[route]
    for tenant in (*TENANTS, "mine"):
        for sent in (_filled(body, tenant), {"not": "right"}):
            response = await idle(route[0], path.format(t=tenant), sent, token=mine)
            assert response.status_code == 403
            assert response.json()["error"] == "this needs the admin token"
    assert await belongings(idle, "other") == theirs


@pytest.mark.parametrize(
    "table",
    [
        "accounts",
        "messages",
        "events",
        "suspensions",
        "command_log",
        "tenant_sync",
        "sync_log",
    ],
)
async def test_a_query_that_names_no_tenant_is_not_run(
    db: SqlDb, tables: Tables, table: str
) -> None:
    asked = getattr(tables, table)
    for query in (asked.select, asked.count, asked.find, asked.get, asked.delete):
        with pytest.raises(TypeError, match="has to name its tenant"):
            await db.write(query)
        with pytest.raises(TypeError, match="has to name its tenant"):
            await db.write(lambda c, query=query: query(c, tenant_id=None))


async def test_without_a_tenant_id_the_keys_own_tenant_is_meant(idle: Client, mine: str) -> None:
    listed = (await idle.ok("GET", "/messages", token=mine))["messages"]
    assert {(m["tenant_id"], m["id"]) for m in listed} == {("mine", "same"), ("mine", "mine")}
    assert (await idle("GET", "/messages/other", token=mine)).status_code == 404
    assert (await idle("GET", "/messages/other/events", token=mine)).status_code == 404
    accounts = (await idle.ok("GET", "/accounts", token=mine))["accounts"]
    assert [a["host"] for a in accounts] == ["mine.example"]
    assert (await idle.ok("GET", "/status", token=mine))["pending_messages"] == 2
    assert (await idle.ok("GET", "/status"))["pending_messages"] == 4
    await idle.ok("POST", "/account", {"id": "smtp", "host": "new.example"}, token=mine)
    other = await idle.ok("GET", "/account/smtp?tenant_id=other")
    assert other["account"]["host"] == "other.example"


async def test_ids_of_another_tenant_are_not_found_for_a_key_and_unauthorized_for_the_admin(
    idle: Client, mine: str
) -> None:
    body = {"ids": ["same", "other", "nobody"]}
    answer = await idle.ok("POST", "/commands/delete-messages", body, token=mine)
    assert answer == {
        "ok": True,
        "removed": 1,
        "not_found": ["other", "nobody"],
        "unauthorized": [],
        "in_progress": [],
    }
    body = {"ids": ["mine", "other", "nobody"]}
    answer = await idle.ok("POST", "/commands/delete-messages?tenant_id=mine", body)
    assert (answer["removed"], answer["not_found"]) == (1, ["nobody"])
    assert answer["unauthorized"] == ["other"]
    left = (await idle.ok("GET", "/messages?tenant_id=other"))["messages"]
    assert {m["id"] for m in left} == {"same", "other"}


@pytest.mark.parametrize(
    "fields",
    [
        {"active": True},
        {"rate_limits": {"hourly": 0}},
        {"retention_seconds": 1},
        {"large_file_config": {"enabled": True}},
    ],
)
async def test_a_tenant_key_cannot_change_what_the_administrator_decides(
    idle: Client, mine: str, fields: dict[str, Any]
) -> None:
    response = await idle("PUT", "/tenant/mine", {"name": "new", **fields}, token=mine)
    assert response.status_code == 403
    assert next(iter(fields)) in response.json()["error"]
    assert (await idle.ok("GET", "/tenant/mine"))["tenant"]["name"] is None
    await idle.ok("PUT", "/tenant/mine", {"name": "new"}, token=mine)
    assert (await idle.ok("GET", "/tenant/mine"))["tenant"]["name"] == "new"


async def test_the_administrator_has_to_name_the_tenant_where_there_are_several(
    idle: Client, mine: str
) -> None:
    for method, path, body in (
        ("POST", "/commands/retry-messages", {"ids": ["same"]}),
        ("POST", "/commands/delete-messages", {"ids": ["same"]}),
        ("POST", "/account", {"id": "x", "host": "x.example"}),
    ):
        response = await idle(method, path, body)
        assert response.status_code == 422
        assert response.json()["detail"][0]["field"] == "tenant_id"


async def test_a_message_without_a_tenant_is_rejected_alone_where_there_are_several(
    idle: Client, mine: str
) -> None:
    records = [{**MAIL, "id": "a"}, {**MAIL, "id": "b", "tenant_id": "mine"}]
    answer = await idle.ok("POST", "/commands/add-messages", {"messages": records})
    assert answer["queued"] == 1
    (rejected,) = answer["rejected"]
    assert rejected["id"] == "a"
    assert rejected["reason"].startswith("tenant_id: required")


async def test_an_unknown_tenant_is_not_found_for_the_administrator(idle: Client) -> None:
    for path in ("/messages?tenant_id=nobody", "/tenant/nobody", "/accounts?tenant_id=nobody"):
        assert (await idle("GET", path)).status_code == 404
    for method, path in (
        ("DELETE", "/tenant/nobody"),
        ("POST", "/tenant/nobody/api-key"),
        ("DELETE", "/tenant/nobody/api-key"),
    ):
        assert (await idle(method, path)).status_code == 404


def _filled(body: Any, tenant: str) -> Any:
    if isinstance(body, dict):
        return {k: _filled(v, tenant) for k, v in body.items()}
    if isinstance(body, list):
        return [_filled(v, tenant) for v in body]
    return tenant if body == "{t}" else body
