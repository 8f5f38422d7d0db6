"""Bodies of requests: their announced size, and their reading."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import Request

#: A longer Content-Length is above every limit; ``int`` refuses one of thousands of digits.
_LENGTH_DIGITS = 18


def announced_bytes(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return the Content-Length of a request; 0 if it has none."""
    announced = next((v for k, v in headers if k == b"content-length"), b"").lstrip(b"0")
    if not announced.isdigit():
        return 0
    return int(announced) if len(announced) <= _LENGTH_DIGITS else 10**_LENGTH_DIGITS


async def read_body(request: Request) -> bytes | bytearray:
    """Return the body of a request, and do not keep it for a second call.

    Pieces are added to one block: joining them at the end would take 50 ms for 64 MB.
    """
    body: bytes | bytearray = b""
    async for piece in request.stream():
        if not body:
            body = piece
        elif piece:
            body = bytearray(body) if isinstance(body, bytes) else body
            body += piece
    return body
