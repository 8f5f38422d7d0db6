"""Text of a mail that is too long for one string."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: Characters. A longer text is kept in pieces.
LONGEST_PLAIN_TEXT = 1_000_000


@dataclass(frozen=True, slots=True, repr=False)
class LongText:
    """Text of more than a million characters, in pieces.

    Each operation on a string holds the interpreter lock, so that the event loop stands still.
    With pieces of 64 kB that is a fraction of a millisecond. A single emoji makes a string of 24 MB
    one of 96 MB, which takes 100 ms to copy.
    """

    pieces: tuple[str, ...]

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def __repr__(self) -> str:
        return f"LongText({len(self)} characters)"

    def isspace(self) -> bool:
        """Return whether every character is white space."""
        return all(piece.isspace() for piece in self.pieces)


def pieces_of(text: str | LongText, size: int) -> Iterator[str]:
    """Yield a text in pieces of at most ``size`` characters."""
    for piece in (text,) if isinstance(text, str) else text.pieces:
        if len(piece) <= size:
            yield piece
        else:
            for start in range(0, len(piece), size):
                yield piece[start : start + size]
