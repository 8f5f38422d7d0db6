"""Stored form of a raw message: a line of JSON, then its octets.

    @{"sender": ..., "to": ..., everything but the body, "raw": {...}}
    From: ...

The octets are in base64 if any of them is above 127, so the text is ASCII: another one would take
up to four times the memory. Octets are written and read in pieces, as ``mail_codec`` does it.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import orjson

#: Octets of the first piece that is read, which must hold the whole header. Divisible by three.
FIRST_OCTETS = 262_146


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
    _text: str = ""
    _start: int = 0

    def octets(self, date_line: bytes) -> bytes:
        """Return the message with its added lines.

        ``date_line`` is added if the message has no Date.
        """
        return b"".join(self._pieces(date_line))

    def _pieces(self, date_line: bytes) -> Iterator[bytes]:
        pieces = self._stored()
        first = next(pieces)
        yield first[: self.head_size]
        if not self.is_dated:
            yield date_line
        yield self.added.encode()
        yield first[self.head_size :]
        yield from pieces

    def _stored(self) -> Iterator[bytes]:
        size = FIRST_OCTETS // 3 * 4 if self.is_8bit else FIRST_OCTETS
        for at in range(self._start, len(self._text), size):
            piece = self._text[at : at + size]
            yield binascii.a2b_base64(piece) if self.is_8bit else piece.encode()


def dump_raw_text(record: dict[str, Any], raw: RawText, pieces: Iterable[bytes]) -> str:
    """Return the text to store; ``record`` is the mail without its body."""
    described = asdict(raw)
    del described["_text"], described["_start"]
    line = json.dumps({**record, "raw": described}, default=asdict, separators=(",", ":"))
    encoded = _base64(pieces) if raw.is_8bit else (piece.decode("ascii") for piece in pieces)
    return "".join(("@", line, "\n", *encoded))


def load_raw_text(text: str) -> tuple[dict[str, Any], RawText]:
    """Return the record and the raw message of a stored text."""
    end = text.index("\n")
    record = orjson.loads(text[1:end])
    return record, RawText(**record.pop("raw"), _text=text, _start=end + 1)


def _base64(pieces: Iterable[bytes]) -> Iterator[str]:
    kept = b""
    for piece in pieces:
        octets = kept + piece
        end = len(octets) // 3 * 3
        kept = octets[end:]
        yield binascii.b2a_base64(octets[:end], newline=False).decode()
    yield binascii.b2a_base64(kept, newline=False).decode()
