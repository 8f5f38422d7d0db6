"""Memory of servers that fail when an SMTP extension is used: an hour without it."""

from __future__ import annotations

from dataclasses import replace

from mail_proxy.kit.clock import Clock
from mail_proxy.smtp.capabilities import Capabilities, Extension

#: Long enough to spare nearly every message the trouble, short enough to outlive no repair.
_DISTRUST_SECONDS = 3600.0


class ExtensionBackoff:
    """SMTP extensions that broke sessions with a server in the last hour.

    A server is a host and a port.

    Extensions only save round trips, so being wrong about a server costs little.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[tuple[str, int, Extension], float] = {}

    def add(self, host: str, port: int, extension: Extension) -> None:
        """Avoid ``extension`` with this server for an hour."""
        now = self._clock.monotonic()
        self._until = {key: until for key, until in self._until.items() if now < until}
        self._until[host, port, extension] = now + _DISTRUST_SECONDS

    def usable(self, host: str, port: int, offered: Capabilities) -> Capabilities:
        """Return ``offered`` without the extensions that the server failed with."""
        if not self._until:
            return offered
        now = self._clock.monotonic()

        def is_trusted(extension: Extension) -> bool:
            return now >= self._until.get((host, port, extension), now)

        return replace(
            offered,
            pipelining=offered.pipelining and is_trusted("pipelining"),
            chunking=offered.chunking and is_trusted("chunking"),
            burst=is_trusted("burst"),
        )
