"""No secret is found where it has no business: database, log, metrics, answers, audit log"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url
from tests.scenarios.command_line import CommandLine

from mail_proxy.encryption import KEY_VARIABLE, generate_key
from mail_proxy.sql import SqlDb
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint

_PATIENCE_SECONDS = 20.0
_USER = "the-user"


@dataclass(frozen=True)
class Secret:
    """``value`` is how its owner writes it; it holds what URLs and base64 spell differently."""

    name: str
    value: str

    @property
    def forms(self) -> dict[str, str]:
        octets = self.value.encode()
        forms = {
            "raw": self.value,
            "as in JSON": json.dumps(self.value)[1:-1],
            "in a URL": quote(self.value, safe=""),
            "in a form": quote(self.value),
            "in hex": octets.hex(),
            "AUTH PLAIN": encoded(f"\0{_USER}\0{self.value}".encode()),
            "basic": encoded(f"{_USER}:{self.value}".encode()),
        }
        # Wherever it begins within a longer text, base64 spells it in one of three ways.
        for start in range(3):
            begin, end = -(-start * 4 // 3), (start + len(octets)) * 4 // 3
            forms[f"base64 {start}"] = encoded(b"\0" * start + octets)[
                begin + bool(start) : end - 1
            ]
        return forms


def encoded(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def planted(name: str) -> Secret:
    return Secret(name, f"planted/{name} +ü&{name[::-1]}=?")


@dataclass
class Planted:
    """One secret of each kind."""

    smtp_password: Secret = field(default_factory=lambda: planted("smtp-password"))
    imap_password: Secret = field(default_factory=lambda: planted("imap-password"))
    bearer_token: Secret = field(default_factory=lambda: planted("bearer-token"))
    basic_password: Secret = field(default_factory=lambda: planted("basic-password"))
    signing_secret: Secret = field(
        default_factory=lambda: Secret(
            "signing-secret", "whsec_planted+signing/secret+of+the+tenant"
        )
    )
    next_signing_secret: Secret = field(
        default_factory=lambda: Secret(
            "next-signing-secret", "whsec_planted+next/signing+secret/once"
        )
    )
    admin_token: Secret = field(
        default_factory=lambda: Secret("admin-token", "planted-admin-token-of-the-instance")
    )
    encryption_key: Secret = field(default_factory=lambda: Secret("key", generate_key()))
    database_password: Secret = field(
        default_factory=lambda: Secret("database-password", "plantedDatabasePassword")
    )
    tenant_key: Secret | None = None

    def __iter__(self) -> Any:
        yield from (secret for secret in vars(self).values() if secret is not None)


class House:
    """The running service as its administrator calls it; keeps all that it answers."""

    def __init__(self, http: httpx.AsyncClient, secrets: Planted) -> None:
        self._http = http
        self._secrets = secrets
        self.answers: list[str] = []

    async def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None
    ) -> httpx.Response:
        content = body if isinstance(body, str | None) else json.dumps(body)
        headers = {
            "X-API-Token": token or self._secrets.admin_token.value,
            "Content-Type": "application/json",
        }
        answer = await self._http.request(method, path, content=content, headers=headers)
        self.answers.append(f"{answer.status_code} {answer.headers} {answer.text}")
        return answer

    async def ok(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = await self.call(method, path, body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def new_tenant(self, tenant: dict[str, Any]) -> Secret:
        """Make it; the answer holds its key, as it must, and is not kept."""
        made = await self.ok("POST", "/tenant", tenant)
        self.answers.pop()
        key = made.pop("api_key")
        self.answers.append(json.dumps(made))
        return Secret("tenant-key", key)

    async def until(self, look: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not await look():
                await asyncio.sleep(0.02)

    async def called(self, endpoint: SyncEndpoint, times: int) -> None:
        """Have the application called until it was so many times."""
        while (before := len(endpoint.calls)) < times:
            await self.ok("POST", "/commands/run-now?tenant_id=acme")
            await endpoint.wait_for(before + 1)

    async def in_state(self, id_: str, status: str) -> None:
        async def look() -> bool:
            found = await self.ok("GET", f"/messages/{id_}?tenant_id=acme")
            return bool(found["message"]["status"] == status)

        await self.until(look)


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_planted_secrets_are_found_nowhere(
    log_format: str, mail_proxy: CommandLine, database_url: str
) -> None:
    secrets = Planted()
    url = database_url
    if url.startswith("postgresql"):
        url = make_url(url).set(password=secrets.database_password.value).render_as_string(False)
    environ = {
        "GMP_DB_PATH": url,
        "GMP_DEBUG": "true",
        "GMP_LOG_FORMAT": log_format,
        "GMP_LOG_DELIVERY_ACTIVITY": "true",
        "GMP_API_TOKEN": secrets.admin_token.value,
        KEY_VARIABLE: secrets.encryption_key.value,
    }
    async with serving(mail_proxy, secrets, environ) as house:
        users = {_USER: secrets.smtp_password.value}
        async with ScriptedSmtpServer(users=users) as smtp, SyncEndpoint() as endpoint:
            await use(house, secrets, smtp, endpoint)
            await misuse(house, secrets)
        await ask_everything(house)
        while_running = await asyncio.to_thread(stored, database_url)
    places = {
        "answers": "\n".join(house.answers),
        "log": mail_proxy.instance("shop").log_file.read_text(),
        "database, running": while_running,
        "database, stopped": stored(database_url),
    }
    assert "account.paused" in places["log"]
    assert "report.failed" in places["log"]
    assert "whsec" not in places["log"]
    found = [
        f"{secret.name}, {form}, in {place}: ...{text[max(0, at - 80) : at + 80]!r}..."
        for place, text in places.items()
        for secret in secrets
        for form, spelled in secret.forms.items()
        if (at := text.find(spelled)) >= 0
    ]
    assert not found, "\n".join(found)


@asynccontextmanager
async def serving(
    mail_proxy: CommandLine, secrets: Planted, environ: dict[str, str]
) -> AsyncIterator[House]:
    words = ("start", "shop", "--port", "0", "--background")
    started = await asyncio.to_thread(mail_proxy, *words, **environ)
    assert started.returncode == 0, started.stderr
    url = mail_proxy.ready("shop").url
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http:
        house = House(http, secrets)
        house.answers += [started.stdout, started.stderr]
        yield house
    stopped = await asyncio.to_thread(mail_proxy, "stop", "shop")
    shown = await asyncio.to_thread(mail_proxy, "status", "shop", "--json", **environ)
    house.answers += [stopped.stdout, stopped.stderr, shown.stdout, shown.stderr]


async def use(
    house: House, secrets: Planted, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
) -> None:
    """Good calls, and servers that repeat what they were told."""
    secrets.tenant_key = await house.new_tenant(tenant(secrets, endpoint.url))
    await house.ok("POST", "/account", account(secrets, smtp.port))
    forms = secrets.smtp_password.forms
    echo = " ".join(forms[form] for form in ("raw", "AUTH PLAIN", "in a URL"))
    whole = encoded(secrets.smtp_password.value.encode())
    smtp.on("AUTH", f"535 5.7.8 not {echo} {whole}")
    await house.call("POST", "/account/smtp/test?tenant_id=acme")
    bearer = secrets.bearer_token.value
    endpoint.script(
        Reply(status=500, body=f"no such token {bearer}".encode()),
        Reply(raw=f"Bearer {bearer}\r\n\r\n".encode()),
        Reply(status=302, headers={"Location": f"/?token={quote(bearer)}"}),
        Reply({"ok": False, "error": [bearer]}),
    )
    await house.ok("POST", "/commands/add-messages", {"messages": [message("m1")]})
    await house.in_state("m1", "deferred")
    smtp.forget_script()
    smtp.on("MAIL", f"530 5.7.0 not {echo} {whole}", times=1)
    await house.ok("POST", "/account", account(secrets, smtp.port))
    await house.ok("POST", "/commands/add-messages", {"messages": [message("m2")]})

    async def paused() -> bool:
        shown = await house.ok("GET", "/account/smtp?tenant_id=acme")
        return "MAIL" in (shown["account"]["last_error"] or "")

    await house.until(paused)
    smtp.on("MAIL", f"550 5.7.0 not {echo} {whole}", times=1)
    await house.ok("POST", "/account", account(secrets, smtp.port))

    async def ended() -> bool:
        shown = [await house.ok("GET", f"/messages/{i}?tenant_id=acme") for i in ("m1", "m2")]
        return {s["message"]["status"] for s in shown} == {"sent", "error"}

    await house.until(ended)
    await house.called(endpoint, 5)
    assert endpoint.calls[0].headers["authorization"].startswith("Bearer planted/")
    basic = {"method": "basic", "user": _USER, "password": secrets.basic_password.value}
    changes = {"client_auth": basic, "signing_secret": secrets.next_signing_secret.value}
    await house.ok("PUT", "/tenant/acme", changes)
    await house.called(endpoint, len(endpoint.calls) + 1)
    expected = secrets.basic_password.forms["basic"]
    assert endpoint.calls[-1].headers["authorization"] == f"Basic {expected}"


def tenant(secrets: Planted, url: str) -> dict[str, Any]:
    return {
        "id": "acme",
        "client_base_url": url,
        "client_auth": {"method": "bearer", "token": secrets.bearer_token.value},
        "signing_secret": secrets.signing_secret.value,
    }


def account(secrets: Planted, port: int) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "id": "smtp",
        "host": "127.0.0.1",
        "port": port,
        "tls": "none",
        "user": _USER,
        "password": secrets.smtp_password.value,
        "imap_host": "127.0.0.1",
        "imap_user": _USER,
        "imap_password": secrets.imap_password.value,
    }


def message(id_: str, **fields: Any) -> dict[str, Any]:
    known = {"from": "a@example.org", "to": ["b@example.net"], "subject": "s", "body": "b"}
    return {"id": id_, "tenant_id": "acme", "account_id": "smtp", **known, **fields}


async def misuse(house: House, secrets: Planted) -> None:
    """Bad calls that hold secrets, in the right places and in wrong ones."""
    assert secrets.tenant_key is not None
    known = account(secrets, 25)
    for secret in secrets:
        value = secret.value
        for broken in (
            {**known, "password": {"value": value}},
            {**known, "password": [value]},
            {**known, "password": f"{value}\r\n"},
            {**known, "imap_password": {value: value}},
            {**known, "passwort": value},
            {**known, "port": 0, "password": value},
            {**known, "tls": "none", "host": "example.org", "password": value},
            value,
            json.dumps(value),
            [value],
            json.dumps({**known, "password": value}, ensure_ascii=False)[:-1],
            f'{{"password": "{value}',
        ):
            assert (await house.call("POST", "/account", broken)).status_code == 422
        for auth in (
            value,
            [value],
            {"method": "bearer", "token": [value]},
            {"method": "bearer", "tokn": value},
            {"method": "basic", "password": value},
            {"method": "digest", "password": value},
        ):
            body = {"id": "acme", "client_auth": auth}
            assert (await house.call("POST", "/tenant", body)).status_code == 422
            assert (await house.call("PUT", "/tenant/acme", body)).status_code == 422
        url = f"http://{_USER}:{quote(value, safe='')}@127.0.0.1"
        for body in ({"signing_secret": f"{value}\r\n"}, {"client_base_url": url}):
            assert (await house.call("PUT", "/tenant/acme", body)).status_code == 422
        wrong = quote(f"{value}x")
        assert (await house.call("GET", "/status", token=wrong)).status_code in (401, 429)
    key = secrets.tenant_key.value
    assert (await house.call("GET", "/tenants", token=key)).status_code == 403
    await house.call("POST", "/commands/add-messages", {"messages": [message("m3", extra=key)]})


async def ask_everything(house: House) -> None:
    """Whatever can be read."""
    for path in (
        *("/metrics", "/status", "/health", "/ready", "/openapi.json", "/tenants"),
        *("/tenant/acme", "/accounts?tenant_id=acme", "/account/smtp?tenant_id=acme"),
        *("/messages?tenant_id=acme", "/messages/m1?tenant_id=acme", "/messages/m2?tenant_id=acme"),
        *("/messages/m1/events?tenant_id=acme", "/messages/m2/events?tenant_id=acme"),
    ):
        await house.ok("GET", path) if path != "/metrics" else await house.call("GET", path)


def stored(database_url: str) -> str:
    """All that the database holds: its rows, and with SQLite its files as they are."""
    db = SqlDb(database_url)
    try:
        rows = db.read_now(
            lambda connection: [
                str(tuple(row))
                for table in inspect(connection).get_table_names()
                for row in connection.execute(text(f"SELECT * FROM {table}"))
            ]
        )
        files = []
        if database_url.startswith("sqlite:///"):
            file = Path(database_url.removeprefix("sqlite:///"))
            files = [
                f.read_bytes().decode("utf-8", "replace") for f in file.parent.glob("mail.db*")
            ]
            assert files
        return "\n".join([*rows, *files])
    finally:
        db.dispose()
