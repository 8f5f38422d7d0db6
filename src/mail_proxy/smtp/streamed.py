"""Files of a mail, which are read and encoded piece by piece while it is sent.

A mail with attachments is never in memory as a whole. Files are read, and base64 is made of them,
on a thread next to the event loop, one piece ahead of the connection.
"""

from __future__ import annotations

import asyncio
import binascii
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mail_proxy.kit.side_thread import SideThread

#: Characters of a line of base64 (RFC 2045 section 6.8), and octets that make them.
_LINE, _LINE_OCTETS = 76, 57
_LINES = 2048
#: Octets read at once, which make whole lines: 160 kB of base64 in less than half a millisecond.
PIECE_OCTETS = _LINES * _LINE_OCTETS
_SPLIT = struct.Struct(f"{_LINE}s" * _LINES)
#: RFC 5322 section 2.1.1, less a stuffed dot.
_LONGEST_LINE = 997
_BESIDE = SideThread("read")


class UnreadableError(Exception):
    """The content of a file cannot be read to its end; the text says why."""


class Content(Protocol):
    """Octets of a file, of a known number, which can be read several times."""

    @property
    def size(self) -> int: ...

    def pieces(self, octets: int) -> Iterator[bytes]:
        """Yield the content in pieces of ``octets``, the last one may be shorter."""


class FilePart(Protocol):
    """Body of a MIME part that is made of a file."""

    @property
    def size(self) -> int:
        """Octets that ``pieces`` yields in all."""

    def pieces(self) -> Iterator[bytes]:
        """Yield the octets of the part; raises UnreadableError or OSError."""


@dataclass(frozen=True, slots=True)
class Base64Part:
    """File in base64, in lines of 76 characters."""

    content: Content

    @property
    def size(self) -> int:
        characters = -(-self.content.size // 3) * 4
        return characters + -(-characters // _LINE) * 2

    def pieces(self) -> Iterator[bytes]:
        left = self.content.size
        for piece in self.content.pieces(PIECE_OCTETS):
            left -= len(piece)
            if len(piece) != PIECE_OCTETS and left != 0:
                break
            yield base64_lines(piece)
        if left != 0:
            raise UnreadableError("the content of an attachment has changed its size")


@dataclass(frozen=True, slots=True)
class VerbatimPart:
    """Message that is sent inside another as it is (RFC 2046 section 5.2.1).

    Only its line ends become CRLF.
    """

    content: Content
    size: int
    is_8bit: bool

    @classmethod
    def of(cls, content: Content) -> VerbatimPart | None:
        """Return the part, or None if SMTP cannot carry the content: long lines, or NUL.

        Reads the content while the caller waits; raises OSError.
        """
        size = line = 0
        is_8bit = False
        for piece in _with_crlf(content.pieces(PIECE_OCTETS)):
            first, *others = piece.split(b"\r\n")
            line += len(first)
            if line > _LONGEST_LINE or max(map(len, others), default=0) > _LONGEST_LINE:
                return None
            if b"\0" in piece:
                return None
            line = len(others[-1]) if others else line
            size += len(piece)
            is_8bit = is_8bit or not piece.isascii()
        return cls(content, size, is_8bit)

    def pieces(self) -> Iterator[bytes]:
        return _with_crlf(self.content.pieces(PIECE_OCTETS))


def _with_crlf(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Make every line end of a text CRLF."""
    held = b""
    for piece in pieces:
        octets = held + piece
        held = b"\r" if octets.endswith(b"\r") else b""
        octets = octets.removesuffix(b"\r")
        octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        yield octets.replace(b"\n", b"\r\n")
    if held:
        yield b"\r\n"


@dataclass(frozen=True, slots=True)
class Rest:
    """End of a message with files: octets and parts of files, in order."""

    parts: Sequence[bytes | FilePart]

    @property
    def size(self) -> int:
        """Number of octets."""
        return sum(len(part) if isinstance(part, bytes) else part.size for part in self.parts)

    def pieces(self) -> Iterator[bytes]:
        """Yield all octets. Reads files while the caller waits.

        Raises UnreadableError if a part does not have its size.
        """
        for part in self.parts:
            if isinstance(part, bytes):
                yield part
                continue
            left = part.size
            try:
                for piece in part.pieces():
                    left -= len(piece)
                    if left < 0:
                        break
                    if piece:
                        yield piece
            except OSError as error:
                reason = f"the content of an attachment cannot be read: {error.strerror}"
                raise UnreadableError(reason) from error
            if left != 0:
                raise UnreadableError("the content of an attachment has changed its size")

    def open(self) -> ReadAhead:
        """Begin to read; needs a running event loop."""
        return ReadAhead(self.pieces())


class ReadAhead:
    """Reads pieces on a thread, one ahead of the piece that is asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._on_ready: Callable[[], None] | None = None
        self._next = self._read()

    def is_ready(self, on_ready: Callable[[], None]) -> bool:
        """Return whether ``next`` has its result; else call ``on_ready`` once it has."""
        if self._next.done():
            return True
        self._on_ready = on_ready
        return False

    def next(self) -> bytes:
        """Return the next piece, which is not empty.

        Raises UnreadableError, also behind the last piece.
        """
        piece = self._next.result()
        if piece is None:
            raise UnreadableError("the message has ended before its size was reached")
        self._next = self._read()
        return piece

    def _read(self) -> asyncio.Future[bytes | None]:
        reading = asyncio.ensure_future(_BESIDE.run(next, self._pieces, None))
        reading.add_done_callback(self._arrived)
        return reading

    def _arrived(self, reading: asyncio.Future[bytes | None]) -> None:
        if not reading.cancelled():
            reading.exception()  # nobody may ask for it, if the connection is lost
        on_ready, self._on_ready = self._on_ready, None
        if on_ready is not None:
            on_ready()


def base64_lines(octets: bytes) -> bytes:
    """Return octets as base64 in lines of 76 characters, each with CRLF."""
    encoded = binascii.b2a_base64(octets, newline=False)
    if len(octets) == PIECE_OCTETS:
        return b"\r\n".join(_SPLIT.unpack(encoded)) + b"\r\n"
    lines = [encoded[start : start + _LINE] for start in range(0, len(encoded), _LINE)]
    return b"".join([line + b"\r\n" for line in lines])
