"""Long CSV files in pieces that one call of the service takes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mail_proxy.errors import MailProxyError

#: A call takes 4 MB and 100 000 lines.
_MOST_BYTES, _MOST_LINES = 3_000_000, 20_000
_LONGEST_LINE = 100_000


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines of a file behind its line of titles, if it has one.

    ``lines_before`` is added to a line's number in the piece. ``done`` and ``total`` are octets.
    """

    octets: bytes
    lines_before: int
    done: int
    total: int


def pieces_of(file: Path) -> Iterator[Piece]:
    """Yield the pieces of a file; ``-`` is standard input.

    A field may not go on in the next line. Raises MailProxyError if the file cannot be read.
    """
    try:
        if str(file) == "-":
            yield from _pieces(sys.stdin.buffer, 0)
        else:
            with file.open("rb") as opened:
                yield from _pieces(opened, file.stat().st_size)
    except OSError as error:
        raise MailProxyError(f"{file}: cannot be read: {error.strerror}") from None


def _pieces(file: BinaryIO, total: int) -> Iterator[Piece]:
    first = _line(file, 1)
    titles = b"" if b"@" in first else first
    kept, size, number, done = [first], len(first), 1, len(first)
    before = 0
    while line := _line(file, number + 1):
        if size + len(line) > _MOST_BYTES or len(kept) >= _MOST_LINES:
            yield Piece(b"".join(kept), before, done, total)
            kept, size = ([titles], len(titles)) if titles else ([], 0)
            before = number - len(kept)
        kept.append(line)
        size += len(line)
        done += len(line)
        number += 1
    yield Piece(b"".join(kept), before, done, total)


def _line(file: BinaryIO, number: int) -> bytes:
    line = file.readline(_LONGEST_LINE)
    if len(line) == _LONGEST_LINE:
        raise MailProxyError(f"line {number} is too long; allowed: {_LONGEST_LINE} bytes")
    return line
