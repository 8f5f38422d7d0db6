"""Cache of small attachments in the memory of one process."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from mail_proxy.kit.clock import Clock


class Key(NamedTuple):
    """Name of a cached content: its MD5, and the tenant that it belongs to.

    Without the tenant, an application that knows the MD5 of another tenant's file could send it.
    """

    tenant_id: str
    md5: str


class MemoryCache:
    """Contents up to ``max_bytes`` in all; those used longest ago are dropped first.

    A content is forgotten ``ttl_seconds`` after it was put. All methods return at once.
    """

    def __init__(self, max_bytes: int, ttl_seconds: float, clock: Clock) -> None:
        self._max_bytes = max_bytes
        self._ttl = ttl_seconds
        self._clock = clock
        self._bytes = 0
        self._kept: OrderedDict[Key, tuple[float, bytes]] = OrderedDict()

    def get(self, key: Key) -> bytes | None:
        """Return a content, or None if it is unknown or too old."""
        found = self._kept.get(key)
        if found is None:
            return None
        put_at, data = found
        if self._clock.monotonic() - put_at > self._ttl:
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return data

    def put(self, key: Key, data: bytes) -> None:
        """Keep a content. One that is larger than the whole cache is not kept."""
        self._forget(key)
        if len(data) > self._max_bytes:
            return
        self._kept[key] = self._clock.monotonic(), data
        self._bytes += len(data)
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: Key) -> None:
        _, data = self._kept.pop(key, (0.0, b""))
        self._bytes -= len(data)
