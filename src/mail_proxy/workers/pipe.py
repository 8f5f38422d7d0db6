"""Carry facts between the process with the API and its delivering processes.

The pipe is a socket pair. The parent sends one line with the settings; after that each line is a
fact. The end of the stream means that the other process has ended or wants to end.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import orjson

from mail_proxy.config import ProxyConfig
from mail_proxy.kit.bus import Fact, Reach

#: Settings of authentication and of reporting; a worker process does neither.
_UNNEEDED = {"api_token", "client_sync"}
_READ_BYTES = 4096
#: A line without an end after so many bytes was not written by this program.
_LONGEST_LINE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class WorkerState(Fact):
    """Fact: a worker process can send messages now, or cannot."""

    delivers: bool
    reach: ClassVar[Reach] = Reach.PARENT


class WorkerConfig(NamedTuple):
    """Settings and encryption key of a delivering process.

    With ``quiet`` it does not log why it could not start.
    """

    config: ProxyConfig
    key: bytes
    quiet: bool = False

    def line(self, *, quiet: bool = False) -> bytes:
        """Return the first line of the pipe."""
        settings = self.config.model_dump(mode="json", exclude=_UNNEEDED)
        key = base64.b64encode(self.key).decode()
        return orjson.dumps({"settings": settings, "key": key, "quiet": quiet}) + b"\n"

    @classmethod
    def of(cls, line: bytes) -> WorkerConfig:
        """Return the settings and the key that ``line`` holds."""
        record = orjson.loads(line)
        key = base64.b64decode(record["key"])
        return cls(ProxyConfig.model_validate(record["settings"]), key, record["quiet"])


class WorkerPipe:
    """Transport of facts over one end of a pipe."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reach: Reach
    ) -> None:
        """Read and write one end; ``reach`` is the process at the other end."""
        self.reach = reach
        self._reader = reader
        self._writer = writer
        self._rest = b""

    def send(self, line: str) -> None:
        """Write a dumped fact, unless the pipe is closing."""
        if not self._writer.is_closing():
            self._writer.write(line.encode() + b"\n")

    def write_eof(self) -> None:
        """Ask the process at the other end to finish and to end."""
        self._writer.write_eof()

    def close(self) -> None:
        """Close this end."""
        self._writer.close()

    async def receive(self) -> list[Fact] | None:
        """Return the facts that have arrived; None at the end of the stream.

        Equal facts that arrive together are returned once.
        """
        try:
            received = await self._reader.read(_READ_BYTES)
        except ConnectionError:
            return None
        *lines, self._rest = (self._rest + received).split(b"\n")
        if not received or len(self._rest) > _LONGEST_LINE_BYTES:
            return None
        loaded = (Fact.load(line.decode(errors="replace")) for line in dict.fromkeys(lines))
        return [fact for fact in loaded if fact is not None]
