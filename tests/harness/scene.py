"""An instance with a bit of everything, served on a port, for pictures and browsers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from pydantic import SecretStr
from tests.harness.dashboard import PAYLOAD
from tests.harness.patience import PATIENCE_SECONDS

from mail_proxy.api.app import build_app
from mail_proxy.config import ProxyConfig, TimingConfig
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import SyncEndpoint

ADMIN = "the-admin-token-of-the-scene"
_LATER = 4_000_000_000
_NAMES = ("anna", "bruno", "carla", "dario", "elena", "fabio", "gina", "hugo", "ivana", "luca")


@dataclass(frozen=True)
class Scene:
    """Where the dashboard is, and who can log in. ``hostile`` is the tenant with payloads."""

    url: str
    admin: str
    key: str
    hostile: str = "hostile"


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Serve the scene from a thread with a loop of its own."""
    ready: Future[Scene] = Future()
    over = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(folder, ready, over)))
    thread.start()
    try:
        yield ready.result(PATIENCE_SECONDS)
    finally:
        over.set()
        thread.join()


async def _serve(folder: Path, ready: Future[Scene], over: threading.Event) -> None:
    try:
        async with ScriptedSmtpServer() as smtp, SyncEndpoint() as application:
            await _run(folder, smtp, application, ready, over)
    except BaseException as error:
        if not ready.done():
            ready.set_exception(error)
        raise


async def _run(
    folder: Path,
    smtp: ScriptedSmtpServer,
    application: SyncEndpoint,
    ready: Future[Scene],
    over: threading.Event,
) -> None:
    (folder / "key").write_bytes(bytes(32))
    config = ProxyConfig(
        name="shop",
        db_path=str(folder / "scene.db"),
        key_file=folder / "key",
        api_token=SecretStr(ADMIN),
        timing=TimingConfig(report_delay=0.01),
    )
    server = uvicorn.Server(
        uvicorn.Config(build_app(lambda: config), port=0, log_level="error", lifespan="on")
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:
        key = await _fill(http, smtp, application)
    ready.set_result(Scene(url, ADMIN, key))
    await asyncio.to_thread(over.wait)
    server.should_exit = True
    await serving


async def _fill(
    http: httpx.AsyncClient, smtp: ScriptedSmtpServer, application: SyncEndpoint
) -> str:
    async def call(method: str, path: str, body: Any = None) -> Any:
        response = await http.request(method, path, json=body, headers={"X-API-Token": ADMIN})
        assert response.status_code == 200, (path, response.text)
        return response.json()

    smtp.on_recipient("gone@example.net", "550 5.1.1 The mailbox does not exist here")
    smtp.on_recipient("full@example.net", "552 5.2.2 Mailbox full")
    smtp.on_recipient("later@example.net", "450 4.2.1 Greylisted, come back in five minutes")
    smtp.on_recipient("hostile@example.net", f"550 5.7.1 {PAYLOAD}")
    made = await call("POST", "/tenant", {"id": "acme", "name": "Acme S.p.A."})
    await call("PUT", "/tenant/acme", {"client_base_url": application.url})
    await call("POST", "/tenant", {"id": "hostile", "name": PAYLOAD})
    server = {"host": smtp.host, "port": smtp.port, "tls": "none"}
    for account in (
        {"id": "newsletter", "limit_per_day": 100, "limit_per_hour": 50, **server},
        {"id": "transactional", "limit_per_minute": 60, "is_default": True, **server},
        {"id": "old-relay", "host": "127.0.0.1", "port": 1, "tls": "none"},
    ):
        await call("POST", "/account", {"tenant_id": "acme", **account})
    await call("POST", "/account", {"tenant_id": "hostile", "id": "<b>&\"'", **server})
    await call("POST", "/commands/add-messages", {"messages": _mails()})
    entry = {"address": "gone@example.net", "reason": "bounce", "detail": "5.1.1 no such user"}
    await call("POST", "/suppression", {**entry, "tenant_id": "acme"})
    await call(
        "POST", "/suppression", {"tenant_id": "hostile", "address": "x@y.it", "detail": PAYLOAD}
    )
    await call(
        "POST", "/storage?tenant_id=acme", {"name": "docs", "protocol": "memory", "config": {}}
    )
    await call(
        "POST",
        "/dkim",
        {"tenant_id": "acme", "domain": "acme.example", "algorithm": "ed25519-sha256"},
    )
    await call("POST", "/commands/suspend?tenant_id=acme&batch_code=autumn")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            status = await call("GET", "/status?full=true")
            if status["attention"] and not status["waiting"].get("queue"):
                break
            await asyncio.sleep(0.05)
    return str(made["api_key"])


def _mails() -> list[dict[str, Any]]:
    common = {"tenant_id": "acme", "from": "Acme <shop@acme.example>", "body": "Hello."}
    mails: list[dict[str, Any]] = []
    for number in range(60):
        name = _NAMES[number % len(_NAMES)]
        mail = {**common, "id": f"order-{4000 + number}", "to": [f"{name}.{number}@example.net"]}
        mail["subject"] = f"Your order {4000 + number} is on its way"
        mail["account_id"] = "newsletter" if number % 2 else "transactional"
        if number % 3 == 0:
            mail["batch_code"] = "spring"
        mails.append(mail)
    for number in range(6):
        to = ("gone", "full", "later")[number % 3]
        subject = f"Invoice {700 + number}"
        mails.append(
            {
                **common,
                "id": f"invoice-{700 + number}",
                "to": [f"{to}@example.net"],
                "subject": subject,
            }
        )
    relayed = {
        **common,
        "account_id": "old-relay",
        "to": ["ann@example.org"],
        "subject": "Contract",
    }
    mails += [{**relayed, "id": f"contract-{number}"} for number in range(3)]
    later = {**common, "to": ["ann@example.org"], "subject": "Newsletter of autumn"}
    mails += [
        {**later, "id": f"autumn-{n}", "batch_code": "autumn", "deferred_ts": _LATER}
        for n in range(5)
    ]
    bad = {"tenant_id": "hostile", "from": "a@example.org", "body": PAYLOAD, "subject": PAYLOAD}
    mails.append(
        {**bad, "id": "payload", "to": ["hostile@example.net"], "batch_code": "<b>bold</b>"}
    )
    return mails
