"""Message after DATA (RFC 5321 section 4.5.2), dot-stuffed and in parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mail_proxy.smtp.compose import ComposedMail

#: Octets handed to the transport at once: large enough to be cheap, small enough to notice in
#: time that the server has refused or stopped reading.
_PART_OCTETS = 65536


class Body(Protocol):
    """Gives a message part by part, and the final dot with the last one."""

    is_complete: bool

    def is_ready(self, on_ready: Callable[[], None]) -> bool:
        """Return whether the next part is there; else call ``on_ready`` once it is."""

    def next(self) -> bytes:
        """Return the next part to write."""


class Source(Protocol):
    """Octets of a message that arrive piece by piece."""

    def is_ready(self, on_ready: Callable[[], None]) -> bool: ...

    def next(self) -> bytes:
        """Return the next piece, which is not empty; raises UnreadableError."""


def body_of(message: ComposedMail) -> Body:
    """Return the body of a message, to be written after DATA."""
    if message.rest is None:
        return WholeBody(message.data)
    return StreamedBody(message.data, message.rest.open(), message.size)


class WholeBody:
    """Body of a message that is in memory."""

    __slots__ = ("_at", "_data", "is_complete")

    def __init__(self, data: bytes | bytearray) -> None:
        self.is_complete = False
        self._data = data
        self._at = 0

    def is_ready(self, on_ready: Callable[[], None]) -> bool:
        return True

    def next(self) -> bytes:
        data, start = self._data, self._at
        end = start + _PART_OCTETS
        is_line_start = start == 0 or data[start - 2 : start] == b"\r\n"
        if end < len(data):
            end -= data[end - 1 : end] == b"\r"  # CRLF stays in one part
            self._at = end
            return _stuffed(bytes(data[start:end]), is_line_start)
        self.is_complete = True
        tail = b".\r\n" if data.endswith(b"\r\n") else b"\r\n.\r\n"
        return _stuffed(bytes(data[start:]), is_line_start) + tail


class ChunkBody:
    """Body of a message whose files are read while it is sent, as the chunk of a BDAT."""

    def __init__(self, head: bytes | bytearray, source: Source, size: int) -> None:
        """``size`` is that of the message; the server answers as soon as it has so much."""
        self.is_complete = False
        self._head = head
        self._at = 0
        self._source = source
        self._left = size

    def is_ready(self, on_ready: Callable[[], None]) -> bool:
        return self._at < len(self._head) or self._source.is_ready(on_ready)

    def next(self) -> bytes:
        if self._at < len(self._head):
            octets = bytes(self._head[self._at : self._at + _PART_OCTETS])
            self._at += len(octets)
        else:
            octets = self._source.next()
        self._left -= len(octets)
        self.is_complete = self._left == 0
        return octets


class StreamedBody:
    """Body of a message whose files are read while it is sent, after DATA."""

    def __init__(self, head: bytes | bytearray, source: Source, size: int) -> None:
        """``size`` is that of the message, without stuffed dots."""
        self.is_complete = False
        self._octets = ChunkBody(head, source, size)
        self._is_line_start = True
        #: A CR at the end of a part, which the next part begins with.
        self._held = b""

    def is_ready(self, on_ready: Callable[[], None]) -> bool:
        return self._octets.is_ready(on_ready)

    def next(self) -> bytes:
        octets = self._held + self._octets.next()
        self._held = b""
        if self._octets.is_complete:
            self.is_complete = True
            tail = b".\r\n" if octets.endswith(b"\r\n") else b"\r\n.\r\n"
            return _stuffed(octets, self._is_line_start) + tail
        if octets.endswith(b"\r"):
            self._held, octets = b"\r", octets[:-1]
        stuffed = _stuffed(octets, self._is_line_start)
        if octets:
            self._is_line_start = octets.endswith(b"\r\n")
        return stuffed


def _stuffed(part: bytes, is_line_start: bool) -> bytes:
    stuffed = part.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if is_line_start and part.startswith(b".") else stuffed
