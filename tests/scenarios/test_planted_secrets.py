"""No secret is found where it has no business: database, log, metrics, answers, audit log"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url
from tests.harness.command_line import CommandLine
from tests.scenarios.planted import USER, Content, Secret, Secrets, encoded, findings

from mail_proxy.encryption import KEY_VARIABLE
from mail_proxy.sql import SqlDb
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint

_PATIENCE_SECONDS = 60.0


class House:
    """The running service as its administrator calls it; keeps all that it answers."""

    def __init__(self, http: httpx.AsyncClient, secrets: Secrets) -> None:
        self._http = http
        self._secrets = secrets
        self.answers: list[str] = []
        self.metrics = self.audit = ""

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
    secrets, content = Secrets(), Content()
    url = database_url
    if url.startswith("postgresql"):
        url = make_url(url).set(password=secrets.database_password.value).render_as_string(False)
    environ = {
        "GMP_DB_PATH": url,
        "GMP_DEBUG": "true",
        "GMP_LOG_FORMAT": log_format,
        "GMP_LOG_DELIVERY_ACTIVITY": "true",
        "GMP_API_TOKEN": secrets.admin_token.value,
        "GMP_CLIENT_SYNC_TOKEN": secrets.instance_token.value,
        "GMP_ALERT_SECRET": secrets.alert_secret.value,
        KEY_VARIABLE: secrets.encryption_key.value,
    }
    async with serving(mail_proxy, secrets, environ) as house:
        users = {USER: secrets.smtp_password.value}
        async with ScriptedSmtpServer(users=users) as smtp, SyncEndpoint() as endpoint:
            await use(house, secrets, smtp, endpoint)
            await misuse(house, secrets)
            await quote_mails(house, smtp, secrets, content)
        await ask_everything(house)
        while_running = await asyncio.to_thread(stored, database_url)
    log = mail_proxy.instance("shop").log_file.read_text()
    told = {"log": log, "metrics": house.metrics, "audit log": house.audit}
    places = {
        **told,
        "answers": "\n".join(house.answers),
        "database, running": while_running,
        "database, stopped": stored(database_url),
    }
    for action in ("account.paused", "report.failed", "message.error", "request.answered"):
        assert action in log
    assert "whsec" not in log
    assert 'gmp_sent_total{account_id="smtp",tenant_id="acme"}' in house.metrics
    assert '"accounts.save"' in house.audit
    assert content.body.value in places["database, stopped"], "it would be found"
    found = [*findings(secrets, places), *findings(content, told)]
    assert not found, "\n".join(found)


@asynccontextmanager
async def serving(
    mail_proxy: CommandLine, secrets: Secrets, environ: dict[str, str]
) -> AsyncIterator[House]:
    words = ("start", "shop", "--port", "0", "--background")
    started = await asyncio.to_thread(mail_proxy, *words, **environ)
    assert started.returncode == 0, started.stderr
    url = mail_proxy.ready("shop").url
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=_PATIENCE_SECONDS) as http:
        house = House(http, secrets)
        house.answers += [started.stdout, started.stderr]
        yield house
    log = await asyncio.to_thread(mail_proxy, "shop", "audit", "--json", **environ)
    house.audit += log.stdout
    stopped = await asyncio.to_thread(mail_proxy, "stop", "shop")
    shown = await asyncio.to_thread(mail_proxy, "status", "shop", "--json", **environ)
    house.answers += [stopped.stdout, stopped.stderr, shown.stdout, shown.stderr]


async def use(
    house: House, secrets: Secrets, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
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
    basic = {"method": "basic", "user": USER, "password": secrets.basic_password.value}
    changes = {"client_auth": basic, "signing_secret": secrets.next_signing_secret.value}
    await house.ok("PUT", "/tenant/acme", changes)
    await house.called(endpoint, len(endpoint.calls) + 1)
    expected = secrets.basic_password.forms["basic"]
    assert endpoint.calls[-1].headers["authorization"] == f"Basic {expected}"


def tenant(secrets: Secrets, url: str) -> dict[str, Any]:
    return {
        "id": "acme",
        "client_base_url": url,
        "client_auth": {"method": "bearer", "token": secrets.bearer_token.value},
        "signing_secret": secrets.signing_secret.value,
    }


def account(secrets: Secrets, port: int) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "id": "smtp",
        "host": "127.0.0.1",
        "port": port,
        "tls": "none",
        "user": USER,
        "password": secrets.smtp_password.value,
    }


def message(id_: str, **fields: Any) -> dict[str, Any]:
    known = {"from": "a@example.org", "to": ["b@example.net"], "subject": "s", "body": "b"}
    return {"id": id_, "tenant_id": "acme", "account_id": "smtp", **known, **fields}


async def misuse(house: House, secrets: Secrets) -> None:
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
            {**known, "imap_password": f"{value}\r\n"},
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
        url = f"http://{USER}:{quote(value, safe='')}@127.0.0.1"
        for body in (
            {"signing_secret": f"{value}\r\n"},
            {"client_base_url": url},
            {"large_file_config": {"secret_access_key": value}},
        ):
            assert (await house.call("PUT", "/tenant/acme", body)).status_code == 422
        wrong = quote(f"{value}x")
        assert (await house.call("GET", "/status", token=wrong)).status_code in (401, 429)
    key = secrets.tenant_key.value
    assert (await house.call("GET", "/tenants", token=key)).status_code == 403
    await house.call("POST", "/commands/add-messages", {"messages": [message("m3", extra=key)]})


async def quote_mails(
    house: House, smtp: ScriptedSmtpServer, secrets: Secrets, content: Content
) -> None:
    """Mails that are refused, here and by a server that repeats what it was sent."""
    said = {"subject": content.subject.value, "body": content.body.value}
    repeats = f"{content.subject.value} {content.body.value}"
    for number, reply in enumerate(("550 5.7.1 spam", "530 5.7.0 not you", "250 2.0.0 taken")):
        smtp.forget_script()
        smtp.on("end of data", f"{reply}: {repeats}", times=1)
        await house.ok("POST", "/account", account(secrets, smtp.port))
        mail = message(f"quoted-{number}", **said)
        await house.ok("POST", "/commands/add-messages", {"messages": [mail]})
        await house.in_state(f"quoted-{number}", ("error", "deferred", "sent")[number])
    login = {"method": "bearer", "token": secrets.attachment_token.value}
    refused = {"filename": "a.txt", "storage_path": "http://10.0.0.1/a", "auth": login}
    mail = message("login", attachments=[refused])
    await house.ok("POST", "/commands/add-messages", {"messages": [mail]})
    await house.in_state("login", "error")
    attached = {"filename": "a.txt", "content": encoded(content.attachment.value.encode())}
    for broken in (
        {**said, "attachments": [attached]},
        {**said, "attachments": [{**refused, "storage_path": "base64:" + login["token"]}]},
        {**said, "content_type": content.body.value},
        {**said, "from": content.body.value, "to": [content.subject.value]},
        {**said, "headers": {"Subject": content.subject.value}},
        {**said, content.body.value: 1},
        {**said, "account_id": "none"},
    ):
        answer = await house.call(
            "POST", "/commands/add-messages", {"messages": [message("m4", **broken)]}
        )
        assert answer.status_code == 400, answer.text
    stranger = {"tenant_id": "default", **said, "attachments": []}
    body = {"messages": [message("m5", **stranger)]}
    assert secrets.tenant_key is not None
    answer = await house.call(
        "POST", "/commands/add-messages", body, token=secrets.tenant_key.value
    )
    assert answer.status_code == 403


async def ask_everything(house: House) -> None:
    """Whatever can be read."""
    house.metrics = (await house.call("GET", "/metrics")).text
    house.audit = (await house.call("GET", "/command-log/export")).text
    for path in (
        *("/status", "/health", "/ready", "/openapi.json", "/tenants", "/tenants/sync-status"),
        *("/instance", "/command-log?limit=1000", "/tenant/acme/sync-log"),
        *("/tenant/acme", "/accounts?tenant_id=acme", "/account/smtp?tenant_id=acme"),
        *("/messages?tenant_id=acme", "/messages/m1?tenant_id=acme", "/messages/m2?tenant_id=acme"),
        *("/messages/m1/events?tenant_id=acme", "/messages/m2/events?tenant_id=acme"),
    ):
        await house.ok("GET", path)


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


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
@pytest.mark.parametrize("secret", [*Secrets(), *Content()], ids=lambda secret: secret.name)
def test_a_secret_would_be_found(secret: Secret, before: str) -> None:
    for form, spelled in secret.forms.items():
        assert findings([secret], {"log": f"action=x reason={before}{spelled}"}), form
    longer = encoded(f"{before}{secret.value} and more".encode())
    assert findings([secret], {"log": longer})
    assert not findings([secret], {"log": secret.value[:-1]})
