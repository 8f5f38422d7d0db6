"""The canonical form of header fields and bodies that a DKIM signature covers.

Both use the algorithm "relaxed" of RFC 6376 section 3.4, which survives relays that fold header
fields again or strip spaces at line ends.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

#: A pair of RFC 6376: the field name in lower case, and its value.
Field = tuple[bytes, bytes]

_CRLF = b"\r\n"
_LINE_ENDS_AT_ONCE = 32_768
#: Read backwards, as it ends the text; a pattern with ``$`` would try every run of lines.
_LINE_ENDS_REVERSED = re.compile(rb"(?:\n\r)*")


def relaxed_fields(head: bytes) -> list[Field]:
    """Return the fields of a message header in order, in relaxed form (section 3.4.2).

    ``head`` has CRLF line ends; the empty line after it may be there. Lines without a colon
    are no fields and are left out.
    """
    unfolded = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    lines = _one_space(unfolded).split(_CRLF)
    named = (line.partition(b":") for line in lines)
    return [(name.rstrip(b" ").lower(), value.strip(b" ")) for name, colon, value in named if colon]


class BodyHash:
    """The SHA-256 of a body in relaxed form (section 3.4.4), computed chunk by chunk.

    A body in transit form has CRLF line ends only; a CR or LF that stands alone is taken as a
    character. Chunks may be cut anywhere. Memory does not grow with the body: blank lines that
    may be the last ones are counted, and a run of spaces that goes on is one space.
    """

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        #: Line ends after the text that is hashed: blank lines at the end are not part of it.
        self._line_ends = 0
        self._has_text = False
        #: The end of the last chunk, if the next one decides over it: a space, a CR, or both.
        self._undecided = b""

    def update(self, chunk: bytes) -> None:
        """Add the next octets of the body."""
        octets = self._undecided + chunk
        is_cut_at_cr = octets.endswith(b"\r")
        decided = (octets[:-1] if is_cut_at_cr else octets).rstrip(b" \t")
        is_cut_in_space = len(decided) + is_cut_at_cr < len(octets)
        self._undecided = b" " * is_cut_in_space + b"\r" * is_cut_at_cr
        self._add(_one_space(decided).replace(b" \r\n", _CRLF))

    def digest(self) -> bytes:
        """Return the hash of all chunks. Nothing can be added after it."""
        if self._undecided.strip(b" "):
            self._add(self._undecided)
        if self._has_text:
            self._sha256.update(_CRLF)
        return self._sha256.digest()

    def _add(self, relaxed: bytes) -> None:
        text = relaxed.rstrip(_CRLF)
        end = _LINE_ENDS_REVERSED.match(relaxed[len(text) :][::-1])
        line_ends = len(end[0]) // 2 if end else 0
        text = relaxed[: len(relaxed) - 2 * line_ends]
        if text:
            self._write_line_ends()
            self._sha256.update(text)
            self._has_text = True
        self._line_ends += line_ends

    def _write_line_ends(self) -> None:
        while self._line_ends:
            count = min(self._line_ends, _LINE_ENDS_AT_ONCE)
            self._sha256.update(_CRLF * count)
            self._line_ends -= count


def hash_body(chunks: Iterable[bytes]) -> bytes:
    """Return the SHA-256 of a body in relaxed form."""
    body = BodyHash()
    for chunk in chunks:
        body.update(chunk)
    return body.digest()


def _one_space(octets: bytes) -> bytes:
    """Make each run of spaces and tabs one space.

    Much faster than a regular expression, which would replace each of the single spaces too.
    """
    if b"\t" in octets:
        octets = octets.replace(b"\t", b" ")
    while b"  " in octets:
        octets = octets.replace(b"  ", b" ")
    return octets
