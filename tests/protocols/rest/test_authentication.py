"""Who may call what: tokens, keys, scopes, guessing."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest
from tests.harness.patience import with_growing_patience
from tests.protocols.rest.client import ONE_DATABASE, Client, calling, serving

from mail_proxy.config import ProxyConfig
from mail_proxy.domain.tenant import ClientAuth
from mail_proxy.reporting.sync_client import request_headers

#: Every route, with whether a tenant key reaches it (T) or the administrator alone (A).
ROUTES = [
    ("T", "GET", "/status", None),
    ("T", "POST", "/commands/run-now", None),
    ("T", "POST", "/commands/add-messages", {"messages": []}),
    ("T", "POST", "/commands/delete-messages", {"ids": []}),
    ("T", "GET", "/messages", None),
    ("T", "GET", "/messages/m1", None),
    ("T", "GET", "/messages/m1/events", None),
    ("T", "POST", "/account", {"id": "x", "host": "127.0.0.1"}),
    ("T", "GET", "/accounts", None),
    ("T", "GET", "/account/smtp", None),
    ("T", "DELETE", "/account/smtp", None),
    ("A", "POST", "/tenant", {"id": "x"}),
    ("A", "GET", "/tenants", None),
    ("T", "GET", "/tenant/acme", None),
    ("T", "PUT", "/tenant/acme", {}),
    ("A", "DELETE", "/tenant/acme", None),
    ("A", "POST", "/tenant/acme/api-key", None),
    ("A", "DELETE", "/tenant/acme/api-key", None),
]


@ONE_DATABASE
@pytest.mark.parametrize(("method", "path", "body"), [route[1:] for route in ROUTES])
async def test_no_route_but_the_public_ones_answers_without_a_token(
    idle: Client, method: str, path: str, body: object
) -> None:
    missing = await idle.http.request(method, path, json=body)
    unknown = await idle(method, path, body, token="guess")
    for response in (missing, unknown):
        assert response.status_code == 401
        assert response.json() == {
            "ok": False,
            "error": response.json()["error"],
            "code": "unauthorized",
            "detail": None,
        }
        assert "token" in response.json()["error"]
        assert "guess" not in response.text


@ONE_DATABASE
@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/openapi.json", "/docs"])
async def test_the_public_routes_need_no_token(client: Client, path: str) -> None:
    assert (await client.http.get(path)).status_code == 200


@ONE_DATABASE
@pytest.mark.parametrize(
    ("method", "path", "body"), [route[1:] for route in ROUTES if route[0] == "A"]
)
async def test_a_tenant_key_does_not_reach_the_administrators_routes(
    idle: Client, method: str, path: str, body: object
) -> None:
    key = await idle.tenant("acme")
    response = await idle(method, path, body, token=key)
    assert response.status_code == 403
    assert response.json()["error"] == "this needs the admin token"
    assert [t["id"] for t in (await idle.ok("GET", "/tenants"))["tenants"]] == ["acme", "default"]


async def test_both_headers_carry_tokens(idle: Client) -> None:
    key = await idle.tenant("acme")
    assert len(key) == 43
    for token in ("admin-token", key):
        for headers in ({"X-API-Token": token}, {"Authorization": f"Bearer {token}"}):
            assert (await idle.http.get("/status", headers=headers)).status_code == 200


async def test_a_new_key_ends_the_old_one_at_once_and_a_revoked_one_ends_too(
    idle: Client,
) -> None:
    first = await idle.tenant("acme")
    assert (await idle.ok("POST", "/tenant", {"id": "acme", "name": "Acme"}))["api_key"] is None
    assert (await idle("GET", "/status", token=first)).status_code == 200
    second = (await idle.ok("POST", "/tenant/acme/api-key"))["api_key"]
    assert (await idle("GET", "/status", token=first)).status_code == 401
    assert (await idle("GET", "/status", token=second)).status_code == 200
    assert await idle.ok("DELETE", "/tenant/acme/api-key") == {"ok": True}
    assert (await idle("GET", "/status", token=second)).status_code == 401
    assert (await idle.ok("GET", "/tenant/acme"))["tenant"]["has_api_key"] is False


async def test_a_key_stops_working_when_it_expires(idle: Client) -> None:
    await idle.tenant("acme")

    async def attempt(seconds: float) -> None:
        until = time.time() + seconds
        made = await idle("POST", "/tenant/acme/api-key", {"expires_at": until})
        assert made.status_code == 200, "it had expired before it was made"
        key = made.json()["api_key"]
        assert (await idle("GET", "/status", token=key)).status_code == 200
        while time.time() < until:
            await asyncio.sleep(0.01)
        response = await idle("GET", "/status", token=key)
        assert response.status_code == 401
        assert "expired" in response.json()["error"]

    await with_growing_patience(attempt)


async def test_a_key_cannot_be_made_with_an_expiry_in_the_past(idle: Client) -> None:
    await idle.tenant("acme")
    response = await idle("POST", "/tenant/acme/api-key", {"expires_at": 1_000_000_000})
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == "expires_at"


async def test_the_key_of_an_inactive_tenant_is_refused_until_it_is_active_again(
    idle: Client,
) -> None:
    key = await idle.tenant("acme")
    for active, status in ((False, 403), (True, 200)):
        await idle.ok("PUT", "/tenant/acme", {"active": active})
        assert (await idle("GET", "/status", token=key)).status_code == status


async def test_guessing_is_slowed_down_for_its_address_alone(idle: Client) -> None:
    async with calling(idle.app, "192.0.2.7") as guesser:
        for number in range(20):
            assert (await guesser("GET", "/status", token=f"no{number}")).status_code == 401
        response = await guesser("GET", "/status", token="no")
        assert response.status_code == 429
        assert 0 < int(response.headers["Retry-After"]) <= 60
        assert (await guesser.http.get("/health")).status_code == 200
    assert (await idle("GET", "/status")).status_code == 200


async def test_an_instance_without_a_token_serves_loopback_alone(config: ProxyConfig) -> None:
    async with serving(config.model_copy(update={"api_token": None})) as client:
        assert (await client.http.get("/tenants")).status_code == 200
        assert (await client("GET", "/tenants", token="anything")).status_code == 401
        async with calling(client.app, "192.0.2.7") as stranger:
            assert (await stranger.http.get("/tenants")).status_code == 401
        async with calling(client.app, "::1") as neighbour:
            assert (await neighbour.http.get("/tenants")).status_code == 200


@ONE_DATABASE
async def test_a_report_call_that_leads_to_the_proxy_itself_is_not_its_user(
    config: ProxyConfig,
) -> None:
    """A tenant chooses the URL, and the call comes from loopback."""
    async with serving(config.model_copy(update={"api_token": None})) as client:
        headers = httpx.Headers(list(request_headers(ClientAuth()).items()))
        call = await client.http.post("/tenant", headers=headers, json={"id": "mine"})
        assert call.status_code == 401
        assert (await client.http.get("/tenant/mine")).status_code == 404


async def test_no_answer_and_no_listing_shows_a_token_or_its_hash(idle: Client) -> None:
    key = await idle.tenant("acme")
    for path in ("/tenants", "/tenant/acme", "/metrics"):
        text = (await idle("GET", path)).text
        assert key not in text
        assert "hash" not in text


async def test_a_valid_token_is_served_whatever_others_at_its_address_did(idle: Client) -> None:
    key = await idle.tenant("acme")
    async with calling(idle.app, "192.0.2.7") as office:
        wrong = [await office("GET", "/status", token=f"no{number}") for number in range(25)]
        assert [r.status_code for r in wrong] == [401] * 20 + [429] * 5
        # Neither of these has ever come from there before.
        for token in ("admin-token", key):
            assert (await office("GET", "/status", token=token)).status_code == 200
            headers = {"Authorization": f"Bearer {token}"}
            assert (await office.http.get("/status", headers=headers)).status_code == 200
        assert (await office.http.get("/status")).status_code == 429
        # A key that was made a moment ago is served too; a revoked one is no better than a guess.
        second = (await idle.ok("POST", "/tenant/acme/api-key"))["api_key"]
        assert (await office("GET", "/status", token=second)).status_code == 200
        assert (await office("GET", "/status", token=key)).status_code == 429


@ONE_DATABASE
async def test_a_guesser_with_many_ipv6_addresses_is_one_guesser(idle: Client) -> None:
    for number in range(20):
        async with calling(idle.app, f"2001:db8::{number:x}") as guesser:
            assert (await guesser("GET", "/status", token="no")).status_code == 401
    async with calling(idle.app, "2001:db8::ffff:1") as guesser:
        assert (await guesser("GET", "/status", token="no")).status_code == 429
    async with calling(idle.app, "2001:db8:0:1::1") as neighbour:
        assert (await neighbour("GET", "/status", token="no")).status_code == 401


async def test_pages_of_others_in_the_users_browser_are_not_the_user(config: ProxyConfig) -> None:
    async with serving(config.model_copy(update={"api_token": None})) as client:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Host": "evil.example"},
            {"Host": "evil.example", "Origin": "http://evil.example"},
        ):
            response = await client.http.post("/commands/suspend", headers=headers)
            assert response.status_code == 401
        own = {"Origin": "http://localhost"}
        assert (await client.http.post("/commands/suspend", headers=own)).status_code == 200
