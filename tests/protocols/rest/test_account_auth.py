"""The field ``auth`` of accounts: checked, sealed, masked, and bound to where it goes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocols.oauth2.house import PEM
from tests.protocols.rest.client import ONE_DATABASE, Client

from mail_proxy.sql import SqlDb

APP = {"method": "oauth2", "provider": "microsoft", "client_id": "app", "tenant": "acme.example"}
AUTH = {**APP, "grant": "client_credentials", "client_secret": "s3cret-of-the-app"}
ACCOUNT = {"id": "ms", "host": "smtp.office365.com", "user": "mailer@acme.example", "auth": AUTH}
GOOGLE = {"method": "oauth2", "provider": "google", "client_id": "app"}
CUSTOM = {"method": "oauth2", "provider": "custom", "client_id": "app"}
URL = "https://login.example/token"


async def refused(client: Client, **changes: Any) -> tuple[list[str], str]:
    """The wrong fields of an account, and the words."""
    response = await client("POST", "/account", {**ACCOUNT, **changes})
    assert response.status_code == 422, response.text
    return [d["field"] for d in response.json()["detail"]], response.json()["error"]


async def test_secrets_are_sealed_and_masked_and_masks_keep_them(idle: Client, db: SqlDb) -> None:
    await idle.ok("POST", "/account", ACCOUNT)
    shown = (await idle.ok("GET", "/account/ms"))["account"]["auth"]
    assert shown["client_secret"] == "********"
    assert (shown["method"], shown["tenant"], shown["refresh_token"]) == (
        "oauth2",
        "acme.example",
        None,
    )
    given = {name: value for name, value in shown.items() if value is not None}
    await idle.ok("POST", "/account", {"id": "ms", "auth": {**given, "scope": "mail"}})
    (stored,) = await db.read(
        lambda c: c.exec_driver_sql("SELECT auth FROM account WHERE id = 'ms'").scalars().all()
    )
    assert stored.startswith("ENC:")
    shown = (await idle.ok("GET", "/account/ms"))["account"]["auth"]
    assert (shown["client_secret"], shown["scope"]) == ("********", "mail")
    await idle.ok("POST", "/account", {"id": "ms", "auth": None})
    assert (await idle.ok("GET", "/account/ms"))["account"]["auth"]["method"] == "password"
    error = await refused(idle, auth={**AUTH, "client_secret": "********"})
    assert error == (["auth.client_secret"], "auth.client_secret: none is stored")


@ONE_DATABASE
@pytest.mark.parametrize(
    ("auth", "field"),
    [
        ({"method": "oauth2"}, "auth.provider"),
        ({"method": "oauth3"}, "auth.method"),
        ({"method": "password", "client_id": "x"}, "auth.client_id"),
        ({**APP, "grant": "client_credentials"}, "auth.client_secret"),
        ({**AUTH, "tenant": None}, "auth.tenant"),
        ({**AUTH, "tenant": "a/../b"}, "auth.tenant"),
        ({**APP, "grant": "service_account", "private_key": PEM}, "auth.grant"),
        ({**GOOGLE, "grant": "client_credentials", "client_secret": "x"}, "auth.grant"),
        ({**GOOGLE, "grant": "service_account"}, "auth.private_key"),
        ({**GOOGLE, "grant": "service_account", "private_key": "x"}, "auth.private_key"),
        ({**CUSTOM, "grant": "refresh_token"}, "auth.token_url"),
        ({**CUSTOM, "grant": "refresh_token", "token_url": "ftp://x/"}, "auth.token_url"),
        ({**CUSTOM, "grant": "refresh_token", "token_url": "http://x.example/"}, "auth.token_url"),
        ({**CUSTOM, "grant": "refresh_token", "token_url": URL, "secret": 1}, "auth.secret"),
        ({**AUTH, "client_secret": "a\nb"}, "auth.client_secret"),
        ({**AUTH, "client_secret": "x" * 20_000}, "auth.client_secret"),
    ],
)
async def test_what_cannot_work_is_refused_by_name(
    idle: Client, auth: dict[str, Any], field: str
) -> None:
    fields, words = await refused(idle, auth=auth)
    assert fields == [field]
    assert "s3cret" not in words


@ONE_DATABASE
async def test_a_log_in_with_tokens_needs_a_mailbox_and_encryption(idle: Client) -> None:
    assert (await refused(idle, user=None))[0] == ["user"]
    assert (await refused(idle, tls="none"))[0] == ["tls"]
    await idle.ok("POST", "/account", {**ACCOUNT, "tls": "none", "host": "127.0.0.1"})


@ONE_DATABASE
@pytest.mark.parametrize(
    "changes",
    [
        {"host": "evil.example"},
        {"port": 2525},
        {"tls": "ssl"},
        {"verify_cert": False},
        {"auth": {**AUTH, "client_secret": "********", "tenant": "evil.example"}},
        {"auth": {**AUTH, "client_secret": "********", "token_url": "https://evil.example/"}},
        {"host": "evil.example", "auth": {**AUTH, "client_secret": "********"}},
    ],
)
@pytest.mark.parametrize("caller", ["admin", "tenant key"])
async def test_a_secret_goes_only_where_it_was_given_for(
    idle: Client, changes: dict[str, Any], caller: str
) -> None:
    key = await idle.tenant("acme")
    token = {"admin": "admin-token", "tenant key": key}[caller]
    of_tenant = {"tenant_id": "acme"}
    await idle.ok("POST", "/account", {**ACCOUNT, **of_tenant}, token=token)
    body = {"id": "ms", **of_tenant, **changes}
    response = await idle("POST", "/account", body, token=token)
    assert response.status_code == 422
    assert [d["field"] for d in response.json()["detail"]] == ["auth"]
    given = {**changes.get("auth", AUTH), "client_secret": "given-again"}
    await idle.ok("POST", "/account", {**body, "auth": given}, token=token)


@ONE_DATABASE
async def test_the_log_of_changes_shows_no_secret(idle: Client) -> None:
    auth = {**GOOGLE, "grant": "service_account", "private_key": PEM}
    await idle.ok("POST", "/account", ACCOUNT)
    await idle.ok("POST", "/account", {**ACCOUNT, "id": "g", "auth": auth})
    await refused(idle, auth={**AUTH, "tenant": "a/b"})
    text = (await idle("GET", "/command-log")).text
    assert "s3cret" not in text
    assert "PRIVATE KEY" not in text
    assert "acme.example" in text
