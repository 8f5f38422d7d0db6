"""The tenant that a call names, in its query, its body, both or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client

ADD = "/commands/add-messages"
MAIL = {"from": "a@example.org", "to": ["b@example.net"], "subject": "s", "body": "b"}


@pytest.fixture
async def two(idle: Client) -> Client:
    """A service with a second tenant, which has an account of its own."""
    await idle.tenant("acme")
    await idle.ok("POST", "/account?tenant_id=acme", {"id": "smtp", "host": "127.0.0.1"})
    return idle


async def place_of(client: Client, id_: str) -> list[str]:
    found = (await client.ok("GET", f"/messages?id={id_}"))["messages"]
    return [message["tenant_id"] for message in found]


async def test_in_the_query_beside_the_messages_or_in_each(two: Client) -> None:
    message = {"id": "m1", **MAIL}
    await two.ok("POST", f"{ADD}?tenant_id=acme", {"messages": [message]})
    await two.ok("POST", ADD, {"messages": [{**message, "id": "m2"}], "tenant_id": "acme"})
    own = {**message, "id": "m3", "tenant_id": "default"}
    await two.ok("POST", ADD, {"messages": [own], "tenant_id": "acme"})
    assert [await place_of(two, id_) for id_ in ("m1", "m2", "m3")] == [
        *(["acme"], ["acme"], ["default"]),
    ]


BODIES: list[tuple[str, dict[str, Any]]] = [
    (ADD, {"messages": [{"id": "m", **MAIL}]}),
    ("/account", {"id": "a", "host": "127.0.0.1"}),
    ("/commands/delete-messages", {"ids": ["m"]}),
    ("/commands/retry-messages", {"ids": ["m"]}),
    ("/commands/cleanup-messages", {"older_than_seconds": 5}),
    ("/dkim", {"domain": "example.org", "algorithm": "ed25519-sha256"}),
    ("/storage", {"name": "docs", "protocol": "memory", "config": {}}),
    ("/account/test", {"host": "127.0.0.1", "port": 1}),
    ("/account/smtp/test", {}),
]


@ONE_DATABASE
@pytest.mark.parametrize(("path", "body"), BODIES)
async def test_query_and_body_may_agree_and_not_differ(
    two: Client, path: str, body: dict[str, Any]
) -> None:
    named = {**body, "tenant_id": "acme"}
    await two.ok("POST", f"{path}?tenant_id=acme", named)
    response = await two("POST", f"{path}?tenant_id=default", named)
    answer = response.json()
    assert (response.status_code, answer["code"]) == (422, "malformed")
    assert answer["error"] == "tenant_id: the query and the body name different tenants"


async def test_the_admins_listings_cover_all_tenants_and_name_each(two: Client) -> None:
    for tenant_id in ("default", "acme"):
        for n in range(3):
            record = {"id": f"{tenant_id}{n}", "tenant_id": tenant_id, "batch_code": "b", **MAIL}
            await two.ok("POST", ADD, {"messages": [record]})
    expected = [f"{tenant_id}{n}" for tenant_id in ("acme", "default") for n in (2, 1, 0)]
    queries = ("", "&status=pending&status=error", "&account_id=smtp", "&batch_code=b", "&q=b%40")
    for query in queries:
        seen, cursor = [], ""
        while cursor is not None:
            page = await two.ok("GET", f"/messages?limit=2{query}{cursor}")
            seen += [(m["id"], m["tenant_id"]) for m in page["messages"]]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        assert [id_ for id_, _ in seen] == expected, query
        assert all(id_.startswith(tenant_id) for id_, tenant_id in seen)
    accounts = (await two.ok("GET", "/accounts"))["accounts"]
    assert [(a["tenant_id"], a["id"]) for a in accounts] == [("default", "smtp"), ("acme", "smtp")]
    assert len((await two.ok("GET", "/accounts?tenant_id=acme"))["accounts"]) == 1


async def test_the_admin_reads_what_one_tenant_alone_has(two: Client) -> None:
    await two.ok("POST", ADD, {"messages": [{"id": "m1", **MAIL}], "tenant_id": "acme"})
    assert (await two.message("m1"))["tenant_id"] == "acme"
    assert [event["event_type"] for event in await two.events("m1")] == ["queued"]
    await two.ok("POST", "/account", {"id": "own", "host": "127.0.0.1", "tenant_id": "acme"})
    assert (await two.ok("GET", "/account/own"))["account"]["tenant_id"] == "acme"
    for tenant_id in ("acme", "default"):
        body = {"domain": f"{tenant_id}.example", "algorithm": "ed25519-sha256"}
        await two.ok("POST", f"/dkim?tenant_id={tenant_id}", body)
    keys = (await two.ok("GET", "/dkim"))["keys"]
    assert [(key["tenant_id"], key["domain"]) for key in keys] == [
        *(("acme", "acme.example"), ("default", "default.example")),
    ]


async def test_an_id_that_several_tenants_use_is_409_with_their_names(two: Client) -> None:
    for tenant_id in ("default", "acme"):
        await two.ok("POST", ADD, {"messages": [{"id": "m", **MAIL}], "tenant_id": tenant_id})
    for path in ("/messages/m", "/messages/m/events", "/account/smtp"):
        response = await two("GET", path)
        answer = response.json()
        assert (response.status_code, answer["code"]) == (409, "several_tenants"), path
        assert answer["detail"] == {"tenants": ["acme", "default"]}
        assert answer["error"].endswith(": acme, default; name one with tenant_id")
        for tenant_id in ("default", "acme"):
            await two.ok("GET", f"{path}?tenant_id={tenant_id}")
    for path in ("/messages/none", "/messages/none/events", "/account/none"):
        assert (await two("GET", path)).status_code == 404
    key = (await two.ok("POST", "/tenant/acme/api-key"))["api_key"]
    assert (await two.ok("GET", "/messages/m", token=key))["message"]["tenant_id"] == "acme"


async def test_very_many_tenants_are_listed_too(idle: Client) -> None:
    for n in range(22):
        await idle.tenant(f"t{n:02}")
        await idle.ok("POST", "/account", {"id": "a", "host": "127.0.0.1", "tenant_id": f"t{n:02}"})
    records = [
        {"id": f"m{n}", "tenant_id": f"t{n:02}", "batch_code": "b", **MAIL} for n in range(22)
    ]
    await idle.ok("POST", ADD, {"messages": records})
    for query in ("", "&status=pending", "&account_id=a", "&batch_code=b"):
        found = (await idle.ok("GET", f"/messages?limit=100{query}"))["messages"]
        assert [m["id"] for m in found] == [f"m{n}" for n in range(21, -1, -1)], query
    assert await place_of(idle, "m5") == ["t05"]
    assert (await idle.ok("GET", "/messages?status=error"))["messages"] == []


async def test_a_tenant_key_lists_its_own_only(two: Client) -> None:
    key = (await two.ok("POST", "/tenant/acme/api-key"))["api_key"]
    for tenant_id in ("default", "acme"):
        await two.ok("POST", ADD, {"messages": [{"id": "m", **MAIL}], "tenant_id": tenant_id})
    found = (await two.ok("GET", "/messages", token=key))["messages"]
    assert [m["tenant_id"] for m in found] == ["acme"]
    assert len((await two.ok("GET", "/accounts", token=key))["accounts"]) == 1


async def test_the_first_account_of_a_tenant_is_its_default(two: Client) -> None:
    await two.ok("POST", "/account", {"id": "second", "host": "127.0.0.1", "tenant_id": "acme"})
    accounts = (await two.ok("GET", "/accounts?tenant_id=acme"))["accounts"]
    assert {a["id"]: a["is_default"] for a in accounts} == {"smtp": True, "second": False}
    await two.ok("POST", ADD, {"messages": [{"id": "m", **MAIL}], "tenant_id": "acme"})
    (message,) = (await two.ok("GET", "/messages?tenant_id=acme"))["messages"]
    assert message["account_id"] == "smtp"


async def test_several_values_of_status(two: Client) -> None:
    await two.ok("POST", ADD, {"messages": [{"id": "m", **MAIL}], "tenant_id": "acme"})
    for query, count in (("status=sent&status=pending", 1), ("status=sent&status=error", 0)):
        found = await two.ok("GET", f"/messages?tenant_id=acme&{query}")
        assert len(found["messages"]) == count
