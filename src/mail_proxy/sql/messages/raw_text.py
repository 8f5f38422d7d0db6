"""Stored form of a raw message: a line of JSON, then its octets.

    @{"sender": ..., "to": ..., everything but the body, "raw": {...}}
    From: ...

The octets are in base64 if any of them is above 127, so the text is ASCII: another one would take
up to four times the memory. Octets are written and read in pieces, as ``mail_codec`` does it.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from mail_proxy.sql.messages.large_content import LargeContent

#: Octets of the first piece that is read, which must hold the whole header. Divisible by three.
FIRST_OCTETS = 262_146
#: Pieces that are joined: the line of JSON, the header, and a body that is not long.
_MOST_PIECES = 5


@dataclass(slots=True)
class RawText:
    """Octets of a raw message in a stored text, and the lines to add to its header.

    ``head_size``: octets of the header, without the empty line. ``added`` are lines to add behind
    it, each with its line end. ``is_dated``: it has a Date. ``is_8bit``: it has octets above 127.
    ``needs_smtputf8``: its header has some.
    """

    head_size: int
    added: str
    is_dated: bool
    is_8bit: bool
    needs_smtputf8: bool
    _text: str | bytearray = ""
    _start: int = 0

    def begin(self, date_line: bytes) -> bytes:
        """Return the header with its added lines, and the begin of the body.

        ``date_line`` is added if the message has no Date.
        """
        first = next(self._stored(self._start))
        date = b"" if self.is_dated else date_line
        return b"".join(
            (first[: self.head_size], date, self.added.encode(), first[self.head_size :])
        )

    @property
    def size(self) -> int:
        """Octets of the message behind its begin."""
        behind = max(len(self._text) - self._start - self._first, 0)
        if not self.is_8bit:
            return behind
        end = self._text[-2:] if behind else ""
        padding = end.count("=") if isinstance(end, str) else end.count(b"=")
        return behind // 4 * 3 - padding

    def pieces(self) -> Iterator[bytes]:
        """Yield the message behind its begin."""
        return self._stored(self._start + self._first)

    @property
    def _first(self) -> int:
        """Characters of the first piece."""
        return FIRST_OCTETS // 3 * 4 if self.is_8bit else FIRST_OCTETS

    def _stored(self, start: int) -> Iterator[bytes]:
        text, size = self._text, self._first
        for at in range(start, len(text), size):
            piece = text[at : at + size]
            octets = piece.encode() if isinstance(piece, str) else bytes(piece)
            yield binascii.a2b_base64(octets) if self.is_8bit else octets


def dump_raw_text(
    record: dict[str, Any], raw: RawText, pieces: Sequence[bytes]
) -> str | LargeContent:
    """Return the text to store; ``record`` is the mail without its body.

    A message with a long body is returned in pieces. The line of JSON is one of them.
    """
    described = asdict(raw)
    del described["_text"], described["_start"]
    line = json.dumps({**record, "raw": described}, default=asdict, separators=(",", ":"))
    encoded = _base64(pieces) if raw.is_8bit else pieces
    content = (f"@{line}\n".encode(), *encoded)
    if len(content) > _MOST_PIECES or any(len(piece) > FIRST_OCTETS for piece in content):
        return LargeContent(content)
    return b"".join(content).decode("ascii")


def load_raw_text(text: str | bytearray) -> tuple[dict[str, Any], RawText]:
    """Return the record and the raw message of a stored text."""
    end = text.index("\n") if isinstance(text, str) else text.index(b"\n")
    record = orjson.loads(text[1:end])
    return record, RawText(**record.pop("raw"), _text=text, _start=end + 1)


def _base64(pieces: Iterable[bytes]) -> Iterator[bytes]:
    kept = b""
    for piece in pieces:
        octets = kept + piece
        end = len(octets) // 3 * 3
        kept = octets[end:]
        yield binascii.b2a_base64(octets[:end], newline=False)
    yield binascii.b2a_base64(kept, newline=False)
