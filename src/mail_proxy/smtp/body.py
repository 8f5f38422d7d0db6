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
        """Return the next piece, empty at the end."""


def body_of(message: ComposedMail) -> Body:
    """Return the body of a message, to be written after DATA."""
    if message.rest is None:
        return WholeBody(message.data)
    return StreamedBody(message.data, message.rest.open())


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


class StreamedBody:
    """Body of a message whose files are read while it is sent."""

    def __init__(self, head: bytes | bytearray, source: Source, *, is_dotted: bool = True) -> None:
        """``is_dotted``: dots are stuffed and one ends the body; not so after BDAT."""
        self.is_complete = False
        self._head = head
        self._at = 0
        self._source = source
        self._is_dotted = is_dotted
        self._is_line_start = True
        #: A CR at the end of a part, which the next part begins with.
        self._held = b""

    def is_ready(self, on_ready: Callable[[], None]) -> bool:
        return self._at < len(self._head) or self._source.is_ready(on_ready)

    def next(self) -> bytes:
        octets = self._next()
        if not self._is_dotted:
            self.is_complete = not octets
            return octets
        if not octets:
            self.is_complete = True
            return b".\r\n" if self._is_line_start and not self._held else self._held + b"\r\n.\r\n"
        octets = self._held + octets
        self._held = b"\r" if octets.endswith(b"\r") else b""
        octets = octets.removesuffix(b"\r")
        stuffed = _stuffed(octets, self._is_line_start)
        if octets:
            self._is_line_start = octets.endswith(b"\r\n")
        return stuffed

    def _next(self) -> bytes:
        if self._at < len(self._head):
            self._at += _PART_OCTETS
            return bytes(self._head[self._at - _PART_OCTETS : self._at])
        return self._source.next()


def _stuffed(part: bytes, is_line_start: bool) -> bytes:
    stuffed = part.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if is_line_start and part.startswith(b".") else stuffed
