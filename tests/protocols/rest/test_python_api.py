"""The proxy as a part of another program: mounted, and reporting to a function."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from tests.harness.patience import PATIENCE_SECONDS
from tests.protocols.rest.client import ONE_DATABASE

from mail_proxy import MailProxy, ProxyConfig
from mail_proxy.client import AsyncMailProxyClient
from mail_proxy.errors import Unauthorized
from mail_proxy.server import create_app
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

MAIL = {"id": "m1", "from": "a@example.org", "to": "b@example.net", "subject": "s"}


@ONE_DATABASE
async def test_the_api_is_mounted_in_another_application(
    config: ProxyConfig, smtp: ScriptedSmtpServer
) -> None:
    mail = create_app(config)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with mail.router.lifespan_context(mail):
            yield

    async def hello(request: Any) -> PlainTextResponse:
        return PlainTextResponse("shop")

    shop = Starlette(routes=[Route("/", hello), Mount("/mail", mail)], lifespan=lifespan)
    transport = httpx.ASGITransport(shop)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
        assert (await http.get("/mail/health")).json() == {"ok": True}
        assert (await http.get("/mail/status")).status_code == 503
        async with shop.router.lifespan_context(shop):
            assert (await http.get("/")).text == "shop"
            token = config.api_token.get_secret_value() if config.api_token else None
            url = "http://shop/mail"
            async with AsyncMailProxyClient(url, token, transport=transport) as client:
                await client.accounts.add(id="smtp", host="127.0.0.1", port=smtp.port, tls="none")
                assert (await client.messages.add([MAIL])).queued == 1  # type: ignore[list-item]
                await smtp.received(1)
            async with AsyncMailProxyClient(url, "wrong", transport=transport) as client:
                with pytest.raises(Unauthorized):
                    await client.accounts.list()
        assert (await http.get("/mail/status")).status_code == 503
        assert (await http.get("/")).text == "shop"


@ONE_DATABASE
async def test_reports_go_to_a_function_until_it_acknowledges_them(
    config: ProxyConfig, smtp: ScriptedSmtpServer
) -> None:
    calls: list[list[dict[str, Any]]] = []
    acknowledged = asyncio.Event()

    async def take(payload: dict[str, Any]) -> dict[str, Any]:
        calls.append([entry for entry in payload["delivery_report"] if "sent_ts" in entry])
        if len(calls) == 1:
            raise ConnectionError("the shop is closed")
        if calls[-1]:
            acknowledged.set()
        return {"ok": True}

    async with await MailProxy.create(config, report_delivery_callable=take) as proxy:
        account = {"id": "smtp", "host": "127.0.0.1", "tls": "none", "port": smtp.port}
        assert (await proxy.handle_command("addAccount", account))["ok"]
        assert (await proxy.handle_command("addMessages", {"messages": [MAIL]}))["queued"] == 1
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not acknowledged.is_set():
                # A report that failed is put off; run-now asks for it at once.
                await proxy.handle_command("run now")
                await asyncio.sleep(0.05)
    taken = next(call for call in calls[1:] if call)
    assert [entry["id"] for entry in taken] == ["m1"]
