"""A tenant's key sees and touches that tenant's data and no other's."""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client

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


@ONE_DATABASE
@pytest.mark.parametrize("tenant", ["other", "default", "nobody"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/messages?tenant_id={t}", None),
        ("GET", "/messages/same?tenant_id={t}", None),
        ("GET", "/messages/same/events?tenant_id={t}", None),
        ("POST", "/commands/delete-messages?tenant_id={t}", {"ids": ["same"]}),
        ("POST", "/commands/run-now?tenant_id={t}", None),
        ("GET", "/accounts?tenant_id={t}", None),
        ("GET", "/account/smtp?tenant_id={t}", None),
        ("DELETE", "/account/smtp?tenant_id={t}", None),
        ("POST", "/account", {"id": "smtp", "host": "evil.example", "tenant_id": "{t}"}),
        ("GET", "/tenant/{t}", None),
        ("GET", "/tenant/{t}/sync-log", None),
        ("PUT", "/tenant/{t}", {"name": "mine now"}),
        (
            "POST",
            "/commands/add-messages",
            {"messages": [{**MAIL, "id": "x", "tenant_id": "{t}"}]},
        ),
    ],
)
async def test_another_tenant_is_refused_in_the_same_words_whether_it_exists_or_not(
    idle: Client, mine: str, tenant: str, method: str, path: str, body: Any
) -> None:
    response = await idle(method, path.format(t=tenant), _filled(body, tenant), token=mine)
    assert response.status_code == 403
    assert response.json()["error"] == "this token does not reach that tenant"


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
        {"large_file_config": {}},
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
        ("GET", "/messages", None),
        ("GET", "/accounts", None),
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
