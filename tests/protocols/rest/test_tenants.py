"""POST /tenant, GET /tenants, GET, PUT and DELETE /tenant/{id}, its api-key"""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client

FULL = {
    "id": "acme",
    "name": "Acme S.p.A.",
    "client_base_url": "https://app.example.com",
    "client_sync_path": "/hooks/mail",
    "client_auth": {"method": "basic", "user": "u", "password": "s3cret-a"},
    "active": True,
    "rate_limits": {"hourly": 10, "daily": None},
    "retention_seconds": 3600.0,
    "signing_secret": "whsec_" + "s3cretBb" * 4,
}


async def tenant(client: Client, id_: str = "acme") -> dict[str, Any]:
    shown: dict[str, Any] = (await client.ok("GET", f"/tenant/{id_}"))["tenant"]
    return shown


async def test_a_new_tenant_comes_back_with_its_key_once_and_its_secrets_masked(
    idle: Client,
) -> None:
    response = await idle("POST", "/tenant", FULL)
    assert "s3cret" not in response.text
    created = response.json()
    assert len(created["api_key"]) == 43
    shown = created["tenant"]
    auth = {"method": "basic", "user": "u", "password": "********"}
    assert {k: shown[k] for k in FULL} == {
        **FULL,
        "client_auth": auth,
        "signing_secret": "********",
    }
    assert shown["suspended_batches"] == []
    assert shown["has_api_key"] is True
    assert shown["created_at"] <= shown["updated_at"]
    assert "api_key" not in (await tenant(idle))
    assert created["api_key"] not in (await idle("GET", "/tenants")).text


async def test_a_small_tenant_has_the_documented_defaults(idle: Client) -> None:
    await idle.ok("POST", "/tenant", {"id": "small"})
    shown = await tenant(idle, "small")
    assert shown["active"] is True
    assert shown["client_sync_path"] == "/mail-proxy/sync"
    assert shown["client_auth"] == {"method": "none"}
    assert (shown["name"], shown["client_base_url"], shown["rate_limits"]) == (None, None, None)


@pytest.mark.parametrize(("method", "path"), [("POST", "/tenant"), ("PUT", "/tenant/acme")])
async def test_changes_touch_the_given_fields_only(idle: Client, method: str, path: str) -> None:
    await idle.ok("POST", "/tenant", FULL)
    identity = {"id": "acme"} if method == "POST" else {}
    await idle.ok(method, path, {**identity, "name": "New", "rate_limits": None, "active": None})
    shown = await tenant(idle)
    assert (shown["name"], shown["rate_limits"], shown["active"]) == ("New", None, True)
    assert shown["client_base_url"] == FULL["client_base_url"]
    assert shown["client_auth"]["password"] == "********"


async def test_masked_secrets_that_are_written_back_stay_and_new_ones_replace_them(
    idle: Client, authorization: Any
) -> None:
    await idle.ok("POST", "/tenant", FULL)
    before = await authorization("acme")
    shown = await tenant(idle)
    written = {k: shown[k] for k in FULL if k != "id"}
    await idle.ok("PUT", "/tenant/acme", written)
    assert await authorization("acme") == before
    auth = {"method": "bearer", "token": "s3cret-c"}
    await idle.ok("PUT", "/tenant/acme", {"client_auth": auth})
    assert await authorization("acme") == auth
    assert (await tenant(idle))["client_auth"] == {"method": "bearer", "token": "********"}


@ONE_DATABASE
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "id"),
        ({"id": ""}, "id"),
        ({"id": "with space"}, "id"),
        ({"id": "a/b"}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"id": "x", "client_base_url": "ftp://x"}, "client_base_url"),
        ({"id": "x", "client_base_url": "http://a\u0000b"}, "client_base_url"),
        ({"id": "x", "client_base_url": "http://u:hunter22@a.example"}, "client_base_url"),
        ({"id": "x", "client_base_url": "http://:8080"}, "client_base_url"),
        ({"id": "x", "client_base_url": "http://a.example:99999"}, "client_base_url"),
        ({"id": "x", "client_base_url": "http://[::1/"}, "client_base_url"),
        ({"id": "x", "client_base_url": "http://a.example/?q=1"}, "client_base_url"),
        ({"id": "x", "client_sync_path": "no-slash"}, "client_sync_path"),
        ({"id": "x", "client_auth": {"method": "digest"}}, "client_auth.method"),
        ({"id": "x", "client_auth": {"method": "bearer"}}, "client_auth.token"),
        ({"id": "x", "client_auth": {"method": "basic", "user": "u"}}, "client_auth.password"),
        ({"id": "x", "signing_secret": "hunter22"}, "signing_secret"),
        ({"id": "x", "signing_secret": "whsec_hunter22" + "x" * 16}, "signing_secret"),
        ({"id": "x", "rate_limits": {"minutely": 1}}, "rate_limits.minutely"),
        ({"id": "x", "rate_limits": {"hourly": -1}}, "rate_limits.hourly"),
        ({"id": "x", "retention_seconds": -1}, "retention_seconds"),
        ({"id": "x", "large_file_config": {"key": "hunter22"}}, "large_file_config.key"),
        ({"id": "x", "client_attachment_path": "files"}, "client_attachment_path"),
        ({"id": "x", "api_key": "hunter22"}, "api_key"),
        ({"id": "x", "suspended_batches": ["a"]}, "suspended_batches"),
    ],
)
async def test_a_malformed_tenant_is_422_names_the_field_and_shows_no_secret(
    idle: Client, body: dict[str, Any], field: str
) -> None:
    response = await idle("POST", "/tenant", body)
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == field
    assert "hunter22" not in response.text
    assert (await idle("GET", "/tenant/x")).status_code == 404


async def test_the_listing_shows_all_or_the_active_ones(idle: Client) -> None:
    await idle.ok("POST", "/tenant", {"id": "on"})
    await idle.ok("POST", "/tenant", {"id": "off", "active": False})

    async def ids(query: str = "") -> list[str]:
        return [t["id"] for t in (await idle.ok("GET", f"/tenants{query}"))["tenants"]]

    assert await ids() == ["default", "off", "on"]
    assert await ids("?active_only=true") == ["default", "on"]


async def test_removing_a_tenant_takes_all_its_data_and_its_key_with_it(idle: Client) -> None:
    key = await idle.tenant("acme")
    await idle.ok("POST", "/account", {"id": "a", "host": "127.0.0.1"}, token=key)
    message = {"id": "m", "from": "a@b.example", "to": "c@d.example", "subject": "s"}
    await idle.ok("POST", "/commands/add-messages", {"messages": [message]}, token=key)
    assert await idle.ok("DELETE", "/tenant/acme") == {"ok": True}
    assert (await idle("GET", "/status", token=key)).status_code == 401
    assert (await idle("GET", "/tenant/acme")).status_code == 404
    assert (await idle.ok("GET", "/status"))["pending_messages"] == 0
    await idle.tenant("acme")
    assert (await idle.ok("GET", "/messages?tenant_id=acme"))["messages"] == []
    assert (await idle.ok("GET", "/accounts?tenant_id=acme"))["accounts"] == []


async def test_the_tenant_default_is_always_there_and_cannot_be_removed(idle: Client) -> None:
    assert (await tenant(idle, "default"))["name"] == "Default"
    response = await idle("DELETE", "/tenant/default")
    assert response.status_code == 409
    assert (await tenant(idle, "default"))["active"] is True


@ONE_DATABASE
@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("name", "", None),
        ("name", None, None),
        ("client_base_url", "", 422),
        ("client_base_url", None, None),
        ("client_sync_path", "", 422),
        ("client_sync_path", None, "/mail-proxy/sync"),
        ("client_auth", {}, 422),
        ("client_auth", None, {"method": "none"}),
        ("rate_limits", {}, {}),
        ("rate_limits", None, None),
        ("retention_seconds", "", 422),
        ("retention_seconds", None, None),
        ("signing_secret", "", 422),
        ("signing_secret", None, None),
        ("active", "", 422),
        ("active", None, True),
    ],
)
async def test_what_an_empty_value_means(idle: Client, field: str, value: Any, shown: Any) -> None:
    await idle.ok("POST", "/tenant", {"id": "t", "name": "n", "client_sync_path": "/x"})
    response = await idle("PUT", "/tenant/t", {field: value})
    if shown == 422:
        assert response.status_code == 422
        assert response.json()["detail"][0]["field"].startswith(field)
    else:
        assert response.json()["tenant"][field] == shown
