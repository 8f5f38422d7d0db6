"""Remembers servers that fail when PIPELINING or CHUNKING is used."""

from __future__ import annotations

from dataclasses import replace

from mail_proxy.kit.clock import Clock
from mail_proxy.smtp.capabilities import Capabilities, Extension

#: Long enough to avoid nearly all failures, short enough to notice a repaired server.
_DISTRUST_SECONDS = 3600.0


class ExtensionBackoff:
    """SMTP extensions to avoid for an hour, by server (host and port).

    The extensions only save round trips, so avoiding one needlessly costs little.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[tuple[str, int, Extension], float] = {}

    def add(self, host: str, port: int, extension: Extension) -> None:
        now = self._clock.monotonic()
        self._until = {key: until for key, until in self._until.items() if now < until}
        self._until[host, port, extension] = now + _DISTRUST_SECONDS

    def usable(self, host: str, port: int, offered: Capabilities) -> Capabilities:
        """Return ``offered`` without the extensions that failed recently."""
        if not self._until:
            return offered
        now = self._clock.monotonic()

        def is_trusted(extension: Extension) -> bool:
            return now >= self._until.get((host, port, extension), now)

        return replace(
            offered,
            pipelining=offered.pipelining and is_trusted("pipelining"),
            chunking=offered.chunking and is_trusted("chunking"),
        )
