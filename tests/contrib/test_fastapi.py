"""FastAPI: the client as a dependency, and the router that takes reports."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI
from tests.contrib.conftest import SECRET, TOKEN, Service
from tests.harness.patience import PATIENCE_SECONDS

from mail_proxy.client import AsyncMailProxyClient, Report
from mail_proxy.contrib.fastapi import mail_proxy, mail_proxy_lifespan, reports_router

Client = Annotated[AsyncMailProxyClient, Depends(mail_proxy)]


def test_an_application_queues_a_message_and_takes_its_report(
    service: Service, asgi_server: Callable[[Any], str], reported_to: Callable[[str], None]
) -> None:
    found: list[Report] = []
    arrived = threading.Event()

    async def take(report: Report) -> None:
        if report.id == "fast-1":
            found.append(report)
            if len(found) == 1:
                raise RuntimeError("not yet")
            arrived.set()

    app = FastAPI(lifespan=mail_proxy_lifespan(service.url, TOKEN))
    app.include_router(reports_router(take, SECRET))

    @app.post("/order")
    async def order(client: Client) -> int:
        message: Any = {
            "id": "fast-1",
            "from": "shop@example.com",
            "to": "p1@example.org",
            "subject": "S",
            "body": "B",
        }
        return (await client.messages.add([message])).queued

    url = asgi_server(app)
    reported_to(url)
    assert httpx.post(f"{url}/order", timeout=PATIENCE_SECONDS).json() == 1
    assert arrived.wait(PATIENCE_SECONDS)
    assert [report.event for report in found[:2]] == ["sent", "sent"]
    assert httpx.post(f"{url}/mail-proxy/sync", content=b"{}").status_code == 401
