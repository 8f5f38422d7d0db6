"""What an application does over HTTP, in few words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.harness.patience import PATIENCE_SECONDS

from mail_proxy.api.app import build_app
from mail_proxy.config import ProxyConfig
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

#: For tests of what is decided before the database is asked.
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Client:
    """Calls as the administrator, or with the ``token`` that is given.

    ``http`` calls without any token. ``app`` is the application itself.
    """

    def __init__(self, http: httpx.AsyncClient, app: FastAPI) -> None:
        self.http = http
        self.app = app

    async def __call__(
        self, method: str, path: str, body: Any = None, *, token: str = "admin-token"
    ) -> httpx.Response:
        headers = {"X-API-Token": token}
        if body is None:
            return await self.http.request(method, path, headers=headers)
        return await self.http.request(method, path, headers=headers, json=body)

    async def ok(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        """The answer of a call that must succeed."""
        response = await self(method, path, body, **options)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def account(self, server: ScriptedSmtpServer, **fields: Any) -> None:
        body = {"id": "smtp", "host": server.host, "port": server.port, "tls": "none"}
        await self.ok("POST", "/account", {**body, **fields})

    async def tenant(self, id_: str) -> str:
        """Make a tenant; returns its key."""
        return str((await self.ok("POST", "/tenant", {"id": id_}))["api_key"])

    async def add(self, *ids: str, **fields: Any) -> None:
        """Queue a small message for each id."""
        common = {"from": "a@example.org", "to": ["b@example.net"], "subject": "s", "body": "b"}
        messages = [{"id": i, **common, **fields} for i in ids]
        answer = await self.ok("POST", "/commands/add-messages", {"messages": messages})
        assert answer["rejected"] == []

    async def message(self, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.ok("GET", f"/messages/{id_}"))["message"]
        return found

    async def events(self, id_: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ok("GET", f"/messages/{id_}/events"))["events"]
        return found

    async def in_state(self, state: str, *ids: str) -> None:
        """Return once all these messages have this status."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for id_ in ids:
                while (await self.message(id_))["status"] != state:
                    await asyncio.sleep(0.01)

    async def reported(self, *ids: str) -> None:
        """Return once all that happened to these messages is reported."""

        def told(events: list[dict[str, Any]]) -> bool:
            return all(e["reported_ts"] for e in events if e["event_type"] != "queued")

        async with asyncio.timeout(PATIENCE_SECONDS):
            for id_ in ids:
                while not told(await self.events(id_)):
                    await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(config: ProxyConfig) -> AsyncIterator[Client]:
    """The application, started, and a client of it."""
    app = build_app(lambda: config)
    async with app.router.lifespan_context(app), calling(app) as client:
        yield client


@asynccontextmanager
async def calling(app: FastAPI, address: str = "127.0.0.1") -> AsyncIterator[Client]:
    """A client of an application, calling from an address."""
    transport = httpx.ASGITransport(app, client=(address, 50000), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield Client(http, app)


async def eventually(condition: Callable[[], bool]) -> None:
    """Return once ``condition`` holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)
