"""POST /account, GET /accounts, GET and DELETE /account/{id}"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client, serving

from mail_proxy.config import ProxyConfig
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

FULL = {
    "id": "full",
    "host": "smtp.example.com",
    "port": 465,
    "user": "ann",
    "password": "s3cret-one",
    "tls": "ssl",
    "verify_cert": False,
    "ttl": 60,
    "batch_size": 10,
    "max_connections": 3,
    "limit_per_minute": 1,
    "limit_per_hour": 2,
    "limit_per_day": 3,
    "limit_behavior": "reject",
    "is_default": True,
    "allow_insecure_auth": False,
}


async def account(client: Client, id_: str) -> dict[str, Any]:
    shown: dict[str, Any] = (await client.ok("GET", f"/account/{id_}"))["account"]
    return shown


async def test_an_account_comes_back_as_it_was_saved_with_its_secrets_masked(
    idle: Client,
) -> None:
    saved = await idle.ok("POST", "/account", FULL)
    assert (saved["ok"], saved["id"], len(saved["pk"])) == (True, "full", 36)
    shown = await account(idle, "full")
    assert {k: shown[k] for k in FULL} == {**FULL, "password": "********"}
    assert (shown["tenant_id"], shown["pk"]) == ("default", saved["pk"])
    assert (shown["health"], shown["last_error"]) == ("ok", None)
    listed = await idle("GET", "/accounts")
    assert [a["id"] for a in listed.json()["accounts"]] == ["full", "smtp"]
    assert "s3cret" not in listed.text


async def test_a_small_account_has_the_documented_defaults(idle: Client) -> None:
    await idle.ok("POST", "/account", {"id": "small", "host": "smtp.example.com"})
    shown = await account(idle, "small")
    wanted = {"port": 587, "tls": "auto", "verify_cert": True, "ttl": 300, "password": None}
    assert {k: shown[k] for k in wanted} == wanted
    assert (shown["limit_behavior"], shown["is_default"]) == ("defer", False)


async def test_saving_again_changes_the_given_fields_only(idle: Client) -> None:
    first = await idle.ok("POST", "/account", FULL)
    moved = {"id": "full", "host": "new.example.com", "password": "given again"}
    again = await idle.ok("POST", "/account", moved)
    assert again["pk"] == first["pk"]
    shown = await account(idle, "full")
    assert (shown["host"], shown["port"], shown["user"]) == ("new.example.com", 465, "ann")
    back = {"id": "full", "port": None, "batch_size": None, "password": "given again"}
    await idle.ok("POST", "/account", back)
    shown = await account(idle, "full")
    assert (shown["port"], shown["batch_size"]) == (587, None)


async def test_a_mask_that_is_written_back_leaves_the_secret_as_it_was(
    idle: Client, config: ProxyConfig
) -> None:
    await idle.ok("POST", "/account", FULL)
    before = await stored(config, "account", "password")
    await idle.ok("POST", "/account", {"id": "full", "password": "********", "ttl": 99})
    assert await stored(config, "account", "password") == before
    await idle.ok("POST", "/account", {"id": "full", "password": None})
    assert (await account(idle, "full"))["password"] is None


async def test_secrets_are_encrypted_at_rest(
    idle: Client, config: ProxyConfig, tmp_path: Path
) -> None:
    await idle.ok("POST", "/account", FULL)
    auth = {"method": "basic", "user": "u", "password": "s3cret-three"}
    secret = "whsec_" + "s3cret4" * 5
    await idle.ok("PUT", "/tenant/default", {"client_auth": auth, "signing_secret": secret})
    for table, column in (
        ("account", "password"),
        ("tenant", "client_auth"),
        ("tenant", "signing_secret"),
    ):
        values = [v for v in await stored(config, table, column) if v is not None]
        assert values
        assert all(v.startswith("ENC:") for v in values)
    assert "s3cret" not in str(await stored(config, "command_log", "payload"))
    assert not any(b"s3cret" in content for content in files(tmp_path))


@ONE_DATABASE
@pytest.mark.parametrize(
    ("given", "tls"),
    [
        ({"use_tls": True, "port": 465}, "ssl"),
        ({"use_tls": True, "port": 587}, "starttls"),
        ({"use_tls": True}, "starttls"),
        ({"use_tls": False}, "none"),
        ({"use_ssl": True}, "ssl"),
        ({"use_ssl": True, "use_tls": False}, "ssl"),
        ({"use_ssl": False}, "auto"),
        ({"tls": "starttls"}, "starttls"),
    ],
)
async def test_the_older_booleans_for_tls_are_understood(
    idle: Client, given: dict[str, Any], tls: str
) -> None:
    await idle.ok("POST", "/account", {"id": "x", "host": "smtp.example.com", **given})
    assert (await account(idle, "x"))["tls"] == tls


async def test_the_older_use_tls_counts_with_the_port_that_the_account_has(idle: Client) -> None:
    await idle.ok("POST", "/account", {"id": "x", "host": "smtp.example.com", "port": 465})
    await idle.ok("POST", "/account", {"id": "x", "use_tls": True})
    assert (await account(idle, "x"))["tls"] == "ssl"


@ONE_DATABASE
@pytest.mark.parametrize(
    ("host", "fields", "status"),
    [
        ("smtp.example.com", {}, 422),
        ("192.0.2.1", {}, 422),
        ("smtp.example.com", {"allow_insecure_auth": True}, 200),
        ("127.0.0.1", {}, 200),
        ("127.8.8.8", {}, 200),
        ("::1", {}, 200),
        ("localhost", {}, 200),
        ("localhost.example.com", {}, 422),
        ("127.0.0.1.example.com", {}, 422),
    ],
)
async def test_a_password_is_not_sent_in_the_clear_but_to_loopback_or_when_allowed(
    idle: Client, host: str, fields: dict[str, Any], status: int
) -> None:
    body = {"id": "x", "host": host, "tls": "none", "user": "u", "password": "pass-w0rd"}
    response = await idle("POST", "/account", {**body, **fields})
    assert response.status_code == status
    assert "pass-w0rd" not in response.text


async def test_the_clear_text_rule_counts_for_later_changes_too(idle: Client) -> None:
    body = {"id": "x", "host": "127.0.0.1", "tls": "none", "user": "u", "password": "p"}
    await idle.ok("POST", "/account", body)
    assert (await idle("POST", "/account", {"id": "x", "host": "a.example"})).status_code == 422
    assert (await account(idle, "x"))["host"] == "127.0.0.1"


@ONE_DATABASE
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "id"),
        ({"id": ""}, "id"),
        ({"id": "a\nb"}, "id"),
        ({"id": "x"}, "host"),
        ({"id": "x", "host": None}, "host"),
        ({"id": "x", "host": "a b"}, "host"),
        ({"id": "x", "host": "a", "port": 0}, "port"),
        ({"id": "x", "host": "a", "port": 10**30}, "port"),
        ({"id": "x", "host": "a", "tls": "maybe"}, "tls"),
        ({"id": "x", "host": "a", "tls": "ssl", "use_ssl": True}, "use_ssl"),
        ({"id": "x", "host": "a", "ttl": -1}, "ttl"),
        ({"id": "x", "host": "a", "limit_per_hour": -1}, "limit_per_hour"),
        ({"id": "x", "host": "a", "limit_behavior": "wait"}, "limit_behavior"),
        ({"id": "x", "host": "a", "port": True}, "port"),
        ({"id": "x", "host": "a", "ttl": True}, "ttl"),
        ({"id": "x", "host": "a", "limit_per_day": True}, "limit_per_day"),
        ({"id": "x", "host": "a", "max_connections": True}, "max_connections"),
        ({"id": "x", "host": "a", "pasword": "hunter22"}, "pasword"),
        ({"id": "x", "host": "a", "password": ["hunter22"]}, "password"),
        ({"id": "x", "host": "a", "password": "hunter22\n"}, "password"),
        ({"id": "\ud800", "host": "a"}, "id"),
        ({"id": "x", "host": "a", "\ud800": 1}, "body"),
    ],
)
async def test_a_malformed_account_is_422_names_the_field_and_shows_no_secret(
    idle: Client, body: dict[str, Any], field: str
) -> None:
    headers = {"X-API-Token": "admin-token", "Content-Type": "application/json"}
    response = await idle.http.post("/account", content=json.dumps(body), headers=headers)
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == field
    assert "hunter22" not in response.text


async def test_only_one_account_of_a_tenant_is_the_default(idle: Client) -> None:
    for id_ in ("a", "b"):
        body = {"id": id_, "host": "127.0.0.1", "is_default": True}
        await idle.ok("POST", "/account", body)
    accounts = (await idle.ok("GET", "/accounts"))["accounts"]
    assert [a["id"] for a in accounts if a["is_default"]] == ["b"]


async def test_a_removed_account_is_gone_and_its_id_is_free(idle: Client) -> None:
    first = await idle.ok("POST", "/account", FULL)
    assert await idle.ok("DELETE", "/account/full") == {"ok": True}
    for method in ("GET", "DELETE"):
        response = await idle(method, "/account/full")
        assert response.status_code == 404
        assert response.json()["error"] == "no such account"
    again = await idle.ok("POST", "/account", {"id": "full", "host": "smtp.example.com"})
    assert again["pk"] != first["pk"]
    assert (await account(idle, "full"))["user"] is None


async def test_removing_an_account_leaves_no_secret_behind(
    idle: Client, config: ProxyConfig
) -> None:
    await idle.ok("POST", "/account", FULL)
    await idle.ok("DELETE", "/account/full")
    assert set(await stored(config, "account", "password")) == {None}


async def test_an_account_id_may_hold_a_slash(idle: Client) -> None:
    await idle.ok("POST", "/account", {"id": "a/b c", "host": "127.0.0.1"})
    path = f"/account/{quote('a/b c', safe='')}"
    assert (await idle.ok("GET", path))["account"]["id"] == "a/b c"
    await idle.ok("DELETE", path)


def files(folder: Path) -> list[bytes]:
    """What lies in a folder."""
    return [path.read_bytes() for path in folder.iterdir() if path.is_file()]


async def stored(config: ProxyConfig, table: str, column: str) -> list[Any]:
    """A column as it is in the database."""
    db = SqlDb(config.database_url)

    def work(connection: Connection) -> list[Any]:
        found = connection.exec_driver_sql(f"SELECT {column} FROM {table}").scalars()
        return list(found)

    values = await db.read(work)
    await db.close()
    return values


async def test_two_processes_that_make_the_same_account_and_tenant_make_one(
    idle: Client, config: ProxyConfig
) -> None:
    async with serving(config.model_copy(update={"scheduler_active": False})) as other:
        for path, body in (("/account", {"host": "a.example"}), ("/tenant", {"name": "A"})):
            bodies = [{"id": f"n{n}", **body} for n in range(10)]
            calls = [client("POST", path, b) for b in bodies for client in (idle, other)]
            answers = await asyncio.gather(*calls)
            assert {a.status_code for a in answers} == {200}
    keys = [a.json()["api_key"] for a in answers]
    assert sum(key is not None for key in keys) == 10


@ONE_DATABASE
@pytest.mark.parametrize(("field", "value"), [("from_address", "ann@example.com")])
async def test_fields_of_a_later_version_are_refused(idle: Client, field: str, value: Any) -> None:
    response = await idle("POST", "/account", {"id": "x", "host": "a", field: value})
    assert response.status_code == 422
    refused = {"field": field, "message": "not available in this version", "value": None}
    assert response.json()["detail"] == [refused]
    assert (await idle("GET", "/account/x")).status_code == 404


async def test_the_name_that_ehlo_says_is_the_accounts(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp, helo_name="shop.example.net")
    await client.add("m1")
    await client.in_state("sent", "m1")
    assert "EHLO shop.example.net" in [line for _, line in smtp.commands]
    assert (await client.ok("GET", "/account/smtp"))["account"]["helo_name"] == "shop.example.net"
    await client.ok("POST", "/account", {"id": "smtp", "helo_name": None})
    assert (await client.ok("GET", "/account/smtp"))["account"]["helo_name"] is None


@ONE_DATABASE
@pytest.mark.parametrize("name", ["", " ", "a b", "[192.0.2.300]", "[2001:db8::1]", "-a.example"])
async def test_a_name_that_ehlo_cannot_say_is_422(idle: Client, name: str) -> None:
    response = await idle("POST", "/account", {"id": "smtp", "helo_name": name})
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == "helo_name"


@ONE_DATABASE
@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("user", "", None),
        ("user", None, None),
        ("password", "", None),
        ("password", None, None),
        ("host", "", 422),
        ("host", None, 422),
        ("port", "", 422),
        ("port", None, 587),
        ("tls", "", 422),
        ("tls", None, "auto"),
        ("limit_per_day", "", 422),
        ("limit_per_day", None, None),
        ("limit_behavior", "", 422),
        ("limit_behavior", None, "defer"),
        ("verify_cert", "", 422),
        ("verify_cert", None, True),
        ("batch_size", None, None),
        ("dkim", None, True),
    ],
)
async def test_what_an_empty_value_means(idle: Client, field: str, value: Any, shown: Any) -> None:
    full = {"id": "a", "host": "127.0.0.1", "user": "u", "password": "p", "limit_per_day": 5}
    await idle.ok("POST", "/account", full)
    body = {"id": "a", field: value, **({"password": "p"} if field in ("port", "tls") else {})}
    response = await idle("POST", "/account", body)
    if shown == 422:
        assert response.status_code == 422
        assert response.json()["detail"][0]["field"] == field
    else:
        assert (await idle.ok("GET", "/account/a"))["account"][field] == shown
