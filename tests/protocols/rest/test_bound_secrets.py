"""A stored secret is sent only to the place that it was given for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client

from mail_proxy import MailProxy
from mail_proxy.config import ProxyConfig

ACCOUNT = {"id": "relay", "host": "mail.example", "user": "u", "password": "s3cret-a"}
AUTH = {"method": "bearer", "token": "s3cret-b"}
TENANT = {"id": "acme", "client_base_url": "https://app.example.com/mail", "client_auth": AUTH}

Save = Callable[[dict[str, Any]], Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture(params=["admin", "tenant key"])
async def save_account(idle: Client, request: pytest.FixtureRequest) -> Save:
    key = await idle.tenant("acme")
    token = {"admin": "admin-token", "tenant key": key}[request.param]

    async def save(changes: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        body = {"id": "relay", "tenant_id": "acme", **changes}
        response = await idle("POST", "/account", body, token=token)
        return response.status_code, response.json()

    assert (await save(ACCOUNT))[0] == 200
    return save


@pytest.fixture(params=["POST by admin", "PUT by admin", "PUT by tenant key"])
async def save_tenant(idle: Client, request: pytest.FixtureRequest) -> Save:
    key = (await idle.ok("POST", "/tenant", TENANT))["api_key"]
    token = key if "key" in request.param else "admin-token"

    async def save(changes: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if request.param.startswith("POST"):
            response = await idle("POST", "/tenant", {"id": "acme", **changes}, token=token)
        else:
            response = await idle("PUT", "/tenant/acme", changes, token=token)
        return response.status_code, response.json()

    return save


@ONE_DATABASE
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"host": "evil.example"}, "host"),
        ({"host": "evil.example", "password": "********"}, "host"),
        ({"host": "evil.example", "user": None}, "host"),
        ({"port": 2525}, "port"),
        ({"tls": "starttls"}, "tls"),
        ({"tls": "ssl"}, "tls"),
        ({"use_ssl": True}, "tls"),
        ({"use_tls": True}, "tls"),
        ({"verify_cert": False}, "verify_cert"),
        ({"allow_insecure_auth": True}, "allow_insecure_auth"),
        ({"allow_insecure_auth": True, "tls": "none"}, "tls"),
    ],
)
async def test_an_account_that_moves_asks_for_its_password_again(
    save_account: Save, idle: Client, changes: dict[str, Any], named: str
) -> None:
    before = await idle.ok("GET", "/account/relay?tenant_id=acme")
    status, answer = await save_account(changes)
    assert status == 422
    assert [d["field"] for d in answer["detail"]] == ["password"]
    assert named in answer["error"]
    assert await idle.ok("GET", "/account/relay?tenant_id=acme") == before
    assert (await save_account({**changes, "password": "s3cret-new"}))[0] == 200


async def test_an_account_that_gives_its_password_up_moves(save_account: Save) -> None:
    assert (await save_account({"host": "other.example", "password": None}))[0] == 200


@ONE_DATABASE
@pytest.mark.parametrize(
    "changes",
    [
        {"host": "MAIL.Example"},
        {"host": "mail.example."},
        {"port": 587},
        {"port": None},
        {"tls": "auto"},
        {"verify_cert": True},
        {"verify_cert": None},
        {"user": "another"},
        {"ttl": 60, "limit_per_hour": 5},
        {"password": "********", "batch_size": 3},
    ],
)
async def test_an_account_that_stays_keeps_its_password(
    save_account: Save, idle: Client, changes: dict[str, Any]
) -> None:
    assert (await save_account(changes))[0] == 200
    shown = (await idle.ok("GET", "/account/relay?tenant_id=acme"))["account"]
    assert shown["password"] == "********"


@ONE_DATABASE
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"client_base_url": "https://evil.example"}, "client_base_url"),
        ({"client_base_url": "http://app.example.com/mail"}, "client_base_url"),
        ({"client_base_url": "https://app.example.com:8443/mail"}, "client_base_url"),
        ({"client_base_url": "https://app.example.com/other"}, "client_base_url"),
        ({"client_sync_path": "/elsewhere"}, "client_sync_path"),
        (
            {
                "client_base_url": "https://evil.example",
                "client_auth": {"method": "bearer", "token": "********"},
            },
            "client_base_url",
        ),
    ],
)
async def test_a_tenant_that_moves_asks_for_its_credentials_again(
    save_tenant: Save, idle: Client, changes: dict[str, Any], named: str
) -> None:
    before = await idle.ok("GET", "/tenant/acme")
    status, answer = await save_tenant(changes)
    assert status == 422
    assert [d["field"] for d in answer["detail"]] == ["client_auth"]
    assert named in answer["error"]
    assert await idle.ok("GET", "/tenant/acme") == before
    assert (await save_tenant({**changes, "client_auth": AUTH}))[0] == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"client_base_url": "https://App.Example.com/mail"},
        {"client_base_url": "https://app.example.com.:443/mail/"},
        {"client_sync_path": "/mail-proxy/sync"},
        {"client_sync_path": None},
        {"client_base_url": None},
        {"name": "Acme"},
        {"client_auth": {"method": "bearer", "token": "********"}},
    ],
)
async def test_a_tenant_that_stays_keeps_its_credentials(
    save_tenant: Save,
    authorization: Callable[[str], Awaitable[Any]],
    changes: dict[str, Any],
) -> None:
    assert (await save_tenant(changes))[0] == 200
    assert await authorization("acme") == AUTH


async def test_credentials_without_a_url_are_not_given_to_the_first_one(idle: Client) -> None:
    made = await idle.ok("POST", "/tenant", {"id": "acme", "client_auth": AUTH})
    body = {"client_base_url": "https://evil.example"}
    assert (await idle("PUT", "/tenant/acme", body, token=made["api_key"])).status_code == 422
    # Nor in two steps.
    await idle.ok("POST", "/tenant", {**TENANT, "id": "other"})
    await idle.ok("PUT", "/tenant/other", {"client_base_url": None})
    assert (await idle("PUT", "/tenant/other", body)).status_code == 422


@pytest.fixture
async def proxy(config: ProxyConfig) -> AsyncIterator[MailProxy]:
    async with await MailProxy.create(config.model_copy(update={"scheduler_active": False})) as it:
        yield it


async def test_handle_command_asks_too(proxy: MailProxy) -> None:
    await proxy.handle_command("addAccount", ACCOUNT)
    moved = await proxy.handle_command("addAccount", {"id": "relay", "host": "evil.example"})
    assert (moved["ok"], moved["detail"][0]["field"]) == (False, "password")
    await proxy.handle_command("addTenant", TENANT)
    body = {"id": "acme", "client_base_url": "https://evil.example"}
    for command in ("addTenant", "updateTenant"):
        moved = await proxy.handle_command(command, body)
        assert (moved["ok"], moved["detail"][0]["field"]) == (False, "client_auth")
