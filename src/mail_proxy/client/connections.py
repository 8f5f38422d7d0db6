"""HTTP connections of the two clients: requests, retries, pages and lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, TypeVar

import httpx
import orjson
from pydantic import ValidationError

from mail_proxy.client.calls import Request, next_page
from mail_proxy.client.errors import NoAnswer, error_of
from mail_proxy.client.retries import Attempts, Retries, broken_answer

Answer = TypeVar("Answer")
Item = TypeVar("Item")


class BlockingConnection:
    """HTTP connection whose calls return their answers. Threads may share it."""

    def __init__(self, http: httpx.Client, retries: Retries, tenant_id: str | None) -> None:
        self.http = http
        self.tenant_id = tenant_id
        self._retries = retries

    def send(self, request: Request[Answer]) -> Answer:
        """Return the answer. Raises the error of the service, or NoAnswer."""
        attempts = Attempts(self._retries, request.repeatable)
        while True:
            try:
                response = self.http.send(_http_request(self.http, request))
            except httpx.TransportError as error:
                pause = attempts.pause_after_loss(error, request.name)
            else:
                found = attempts.pause_after_answer(response)
                if found is None:
                    return _read(request, response.content)
                pause = found
            time.sleep(pause)

    def pages(
        self, request: Request[Answer], items: Callable[[Answer], Sequence[Item]]
    ) -> Iterator[Item]:
        """Yield the items of all pages."""
        cursor: str | None = ""
        while cursor is not None:
            page: Any = self.send(request)
            yield from items(page)
            cursor = page.next_cursor
            request = next_page(request, cursor or "")

    def lines(self, request: Request[Item]) -> Iterator[Item]:
        """Yield the lines of an answer while it arrives. It is not repeated."""
        try:
            response = self.http.send(_http_request(self.http, request), stream=True)
            try:
                if response.is_error:
                    response.read()
                    raise error_of(response)
                for line in response.iter_lines():
                    yield _read(request, line.encode())
            finally:
                response.close()
        except httpx.TransportError as error:
            raise NoAnswer(f"no answer to {request.name}: {error}") from error


class AsyncConnection:
    """HTTP connection whose calls are coroutines of one event loop."""

    def __init__(self, http: httpx.AsyncClient, retries: Retries, tenant_id: str | None) -> None:
        self.http = http
        self.tenant_id = tenant_id
        self._retries = retries

    async def send(self, request: Request[Answer]) -> Answer:
        """Return the answer. Raises the error of the service, or NoAnswer."""
        attempts = Attempts(self._retries, request.repeatable)
        while True:
            try:
                response = await self.http.send(_http_request(self.http, request))
            except httpx.TransportError as error:
                pause = attempts.pause_after_loss(error, request.name)
            else:
                found = attempts.pause_after_answer(response)
                if found is None:
                    return _read(request, response.content)
                pause = found
            await asyncio.sleep(pause)

    async def pages(
        self, request: Request[Answer], items: Callable[[Answer], Sequence[Item]]
    ) -> AsyncIterator[Item]:
        """Yield the items of all pages."""
        cursor: str | None = ""
        while cursor is not None:
            page: Any = await self.send(request)
            for item in items(page):
                yield item
            cursor = page.next_cursor
            request = next_page(request, cursor or "")

    async def lines(self, request: Request[Item]) -> AsyncIterator[Item]:
        """Yield the lines of an answer while it arrives. It is not repeated."""
        try:
            response = await self.http.send(_http_request(self.http, request), stream=True)
            try:
                if response.is_error:
                    await response.aread()
                    raise error_of(response)
                async for line in response.aiter_lines():
                    yield _read(request, line.encode())
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise NoAnswer(f"no answer to {request.name}: {error}") from error


def _http_request(http: httpx.Client | httpx.AsyncClient, request: Request[Any]) -> httpx.Request:
    body, headers = request.body, {}
    if body is not None and not isinstance(body, bytes):
        headers["Content-Type"] = "application/json"
        body = orjson.dumps(body)
    return http.build_request(
        request.method, request.path, params=request.query, content=body, headers=headers
    )


def _read(request: Request[Answer], content: bytes) -> Answer:
    try:
        return request.read(content)
    except (ValidationError, UnicodeDecodeError) as error:
        raise broken_answer(request.name, error) from error
