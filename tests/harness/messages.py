"""The mail that is sent: plain text, one recipient, everything but the body distinct."""

import json
from collections.abc import Iterator
from typing import Any

CALL_LIMIT = 1000  # the proxy's max_enqueue_batch
_LINE = "The quick brown fox jumps over the lazy dog, and the mail goes out on time.\n"


def body_text(size_bytes: int) -> str:
    return (_LINE * (size_bytes // len(_LINE) + 1))[: size_bytes - 1] + "\n"


def mail_id(prefix: str, number: int) -> str:
    return f"{prefix}-{number:07d}"


def call(prefix: str, first: int, count: int, size_bytes: int, **fields: Any) -> bytes:
    """The body of one add-messages call; each message has ``fields`` too."""
    body = body_text(size_bytes)
    messages = [
        {
            "id": mail_id(prefix, number),
            "from": "Benchmark <bench@example.com>",
            "to": [f"user{number}@example.org"],
            "subject": f"Message {number} of {prefix}",
            "body": body,
            **fields,
        }
        for number in range(first, first + count)
    ]
    return json.dumps({"messages": messages}).encode()


def calls(prefix: str, total: int, size_bytes: int, **fields: Any) -> Iterator[tuple[int, bytes]]:
    """Pairs of message count and call body."""
    for first in range(0, total, CALL_LIMIT):
        count = min(CALL_LIMIT, total - first)
        yield count, call(prefix, first, count, size_bytes, **fields)
