"""What the process with the API and its delivering processes tell each other.

A socket pair, over which the parent sends one line with the settings; after that each byte is a
message of its own. The end of the stream means that the other one is gone or wants to end.
"""

from __future__ import annotations

import asyncio
import base64
from typing import NamedTuple

import orjson

from mail_proxy.config import ProxyConfig

#: To the worker: something may be due; the clock was set back.
WAKE, CLOCK_SET_BACK = b"w", b"c"
#: To the parent: it may send; it may not; outcomes were written.
DELIVERS, STANDS_STILL, EVENTS_ADDED = b"+", b"-", b"e"
#: Not for processes that neither authenticate nor report.
_UNNEEDED = {"api_token", "client_sync"}


class WorkerConfig(NamedTuple):
    """What a worker needs to know."""

    config: ProxyConfig
    key: bytes

    def line(self) -> bytes:
        """For the stream."""
        settings = self.config.model_dump(mode="json", exclude=_UNNEEDED)
        key = base64.b64encode(self.key).decode()
        return orjson.dumps({"settings": settings, "key": key}) + b"\n"

    @classmethod
    def of(cls, line: bytes) -> WorkerConfig:
        """The reverse of ``line``."""
        record = orjson.loads(line)
        key = base64.b64decode(record["key"])
        return cls(ProxyConfig.model_validate(record["settings"]), key)


async def next_messages(reader: asyncio.StreamReader) -> set[bytes]:
    """What has arrived, each kind once; empty when the other side is gone."""
    try:
        received = await reader.read(4096)
    except ConnectionError:
        return set()
    return {received[n : n + 1] for n in range(len(received))}
