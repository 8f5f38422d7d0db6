"""Client of an instance's REST interface, for running and stopped instances."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from mail_proxy.cli.instance import Instance
from mail_proxy.errors import MailProxyError

_ANSWER_SECONDS = 60.0
#: Neither deliver, nor report, nor send alerts by itself.
_QUIET = {"scheduler_active": False, "test_mode": True}
#: The caller's address in the audit log if the application runs in this process.
_HERE = ("local", 0)


class Connection:
    """REST client with the admin token."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Make a call and return its answer. Raises MailProxyError for an error status."""
        answer = await self._http.request(method, path, **request)
        _raise_for(answer)
        found: dict[str, Any] = answer.json()
        return found

    async def lines(self, path: str, **request: Any) -> AsyncIterator[str]:
        """Yield the answer of a GET line by line."""
        async with self._http.stream("GET", path, **request) as answer:
            if answer.is_error:
                await answer.aread()
            _raise_for(answer)
            async for line in answer.aiter_lines():
                yield line


@asynccontextmanager
async def connected(instance: Instance) -> AsyncIterator[Connection]:
    """Connect to the running service, or to the application in this process.

    In this process, the application does not deliver or report.
    """
    running = instance.find_running()
    options: dict[str, Any] = {"timeout": _ANSWER_SECONDS, "trust_env": False}
    token = instance.token()
    if token:
        options["headers"] = {"X-API-Token": token}
    try:
        if running is not None:
            async with httpx.AsyncClient(base_url=running.url, **options) as http:
                yield Connection(http)
            return
        # Imported only if it is needed, because it loads most of the program.
        from mail_proxy.api.app import build_app

        config = instance.load_own_config(None, os.environ).config
        app = build_app(lambda: config.model_copy(update=_QUIET))
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, client=_HERE)
            url = "http://localhost"
            async with httpx.AsyncClient(transport=transport, base_url=url, **options) as http:
                yield Connection(http)
    except httpx.HTTPError as error:
        raise MailProxyError(f"no answer from {instance.name}: {error}") from None


def _raise_for(answer: httpx.Response) -> None:
    if answer.is_error:
        try:
            words = answer.json()["error"]
        except (ValueError, KeyError, TypeError):
            words = f"the service answered {answer.status_code}"
        raise MailProxyError(str(words))
