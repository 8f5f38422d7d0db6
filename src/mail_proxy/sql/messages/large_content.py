"""Stored form of a mail with long bodies, written and compared in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

#: A stored text up to this length is read as a string at once.
LONGEST_STR_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class LargeContent:
    """UTF-8 of a stored mail with long bodies, in pieces.

    No operation on megabytes holds the interpreter lock. The bodies share no piece with the rest.
    """

    pieces: tuple[bytes | bytearray, ...]

    def __len__(self) -> int:
        """Return the length in bytes."""
        return sum(map(len, self.pieces))

    def replace(self, old: str, new: str) -> LargeContent:
        """Return the content with another text in place of one that no two pieces share."""
        before, after = old.encode(), new.encode()
        return LargeContent(tuple(piece.replace(before, after) for piece in self.pieces))

    def digest(self) -> bytes:
        """Return the SHA-256 of the content. Hashing gives the interpreter lock up."""
        found = sha256()
        for piece in self.pieces:
            found.update(piece)
        return found.digest()


def is_same_text(one: str | LargeContent, other: str | LargeContent | None) -> bool:
    """Return whether two contents are the same, however they are divided into pieces."""
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    return other is not None and _in_pieces(one).digest() == _in_pieces(other).digest()


def _in_pieces(content: str | LargeContent) -> LargeContent:
    return LargeContent((content.encode(),)) if isinstance(content, str) else content
