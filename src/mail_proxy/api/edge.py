"""What every request passes first: its id, and the bound on its size."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import orjson
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ACCEPTABLE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


class _BodyTooLarge(HTTPException):
    """An HTTPException, because FastAPI makes a 400 of any other that ``receive`` raises."""

    def __init__(self, most: int) -> None:
        error = f"the body is larger than {most} bytes"
        super().__init__(413, error, {"Connection": "close"})


class Edge:
    """ASGI middleware. ``max_body_bytes`` bounds what is read, announced or not."""

    def __init__(self, app: ASGIApp, max_body_bytes: Callable[[], int]) -> None:
        self._app = app
        self._max = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given if _ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex.encode()
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        most = self._max()
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        announced = headers.get(b"content-length", b"0")
        try:
            if announced.isdigit() and int(announced) > most:
                raise _BodyTooLarge(most)
            await self._app(scope, _bounded(receive, most), send_with_id)
        except _BodyTooLarge as error:
            if not started:
                await _refuse(send_with_id, error)


def _bounded(receive: Receive, most: int) -> Receive:
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise _BodyTooLarge(most)
        return message

    return bounded


async def _refuse(send: Send, error: _BodyTooLarge) -> None:
    body = orjson.dumps({"ok": False, "error": error.detail, "detail": None})
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
