"""Whole RFC 5322 messages that are sent as they are, octet by octet.

Changed are only the line ends, which become CRLF, and fields that no recipient may see, which are
taken out. The header is read without the ``email`` package, which would write it anew. The body is
never looked into. Large messages are handled in pieces, so that other threads have turns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, starmap
from typing import NamedTuple

#: Octets. Exchange takes as many by default; sendmail, Postfix and others take less.
LONGEST_HEADER = 256_000
MOST_FIELDS = 1000
#: Fields that are not sent: blind recipients, and the envelope sender, which the last server adds.
TAKEN_OUT = frozenset({"bcc", "resent-bcc", "return-path"})
#: RFC 5322 section 3.6. Large receivers refuse mails that have one of these twice.
_ONCE = (
    *("from", "sender", "reply-to", "to", "cc", "subject"),
    *("date", "message-id", "in-reply-to", "references"),
)
_FIELD = re.compile(rb"([!-9;-~]+):([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+)\r\n")
_CONTROL = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BINARY_PART = re.compile(rb"(?im)^content-transfer-encoding:[ \t]*\"?binary\b")
#: Octets of the piece before in which a field of a part may begin.
_OVERLAP = 100
_END = b"\r\n\r\n"
_BINARY = (
    "has a part with Content-Transfer-Encoding binary, and line ends that are not CRLF: "
    "these would be changed; encode the part in base64"
)


class WrongRaw(ValueError):
    """A text is no message that can be sent as it is. The error says why."""


class RawField(NamedTuple):
    """Field of a message header.

    ``name`` is in lower case, ``text`` is unfolded, ``octets`` are those of the whole field.
    """

    name: str
    text: str
    octets: bytes


@dataclass(frozen=True, slots=True)
class RawMessage:
    """Message as it is sent, except for fields that are still to be added.

    They are added behind ``head``, the header, each field with its line end. ``body`` has the
    empty line and what follows it, in pieces. ``fields`` are all fields of the header, those that
    were taken out included. ``is_8bit``: it has octets above 127. ``needs_smtputf8``: the header
    has some (RFC 6532).
    """

    head: bytes
    body: Sequence[bytes]
    fields: Sequence[RawField]
    is_8bit: bool
    needs_smtputf8: bool

    def texts(self, name: str) -> list[str]:
        """Return the texts of all fields of a name in lower case."""
        return [field.text for field in self.fields if field.name == name]

    def text(self, name: str) -> str | None:
        """Return the text of the first field of a name, without blanks around it, or None."""
        return next((field.text.strip(" \t") for field in self.fields if field.name == name), None)


def read_raw(pieces: Iterable[bytes]) -> RawMessage:
    """Return the message in the octets of ``pieces``; raises WrongRaw."""
    lines = _Lines(pieces)
    head, rest = _divided(lines)
    body = list(rest)
    fields = list(_fields(head))
    if lines.are_changed and any(starmap(_names_binary, pairwise([b"", head, *body]))):
        raise WrongRaw(_BINARY)
    kept = _without_hidden(head, fields)
    return RawMessage(kept, body, fields, lines.are_8bit, not kept.isascii())


def scan_raw(pieces: Iterable[bytes]) -> tuple[RawMessage, int]:
    """Return a message without its body, and the octets of the body; raises WrongRaw.

    No piece is kept: ``raw_body`` yields the body when it is sent.
    """
    lines = _Lines(pieces)
    head, body = _divided(lines)
    fields = list(_fields(head))
    size, before, has_binary = 0, head, _names_binary(b"", head)
    for piece in body:
        size += len(piece)
        has_binary = has_binary or _names_binary(before, piece)
        before = piece
    if lines.are_changed and has_binary:
        raise WrongRaw(_BINARY)
    kept = _without_hidden(head, fields)
    return RawMessage(kept, (), fields, lines.are_8bit, not kept.isascii()), size


def raw_body(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the empty line behind a header, and the body; raises WrongRaw."""
    _, body = _divided(_Lines(pieces))
    return body


def _divided(lines: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the header of a message, and its body in pieces; raises WrongRaw."""
    head, pieces = b"", iter(lines)
    for piece in pieces:
        head += piece
        end = _end_of_head(head)
        if end is not None:
            return head[:end], chain([head[end:]], pieces)
    raise WrongRaw(_no_end(head))


def _without_hidden(head: bytes, fields: Sequence[RawField]) -> bytes:
    if all(field.name not in TAKEN_OUT for field in fields):
        return head
    return b"".join([field.octets for field in fields if field.name not in TAKEN_OUT])


class _Lines:
    """Pieces of a message with CRLF line ends, also at its end.

    Raises WrongRaw for a NUL. No piece is empty, and none ends between CR and LF.
    ``are_changed``: there were other line ends.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.are_changed = False
        self.are_8bit = False

    def __iter__(self) -> Iterator[bytes]:
        held, size, end = b"", 0, b""
        for octets in self._pieces:
            if b"\0" in octets:
                at = size + octets.index(b"\0") + 1
                raise WrongRaw(f"has a NUL as octet {at}, which no mail server takes")
            size += len(octets)
            self.are_8bit = self.are_8bit or not octets.isascii()
            piece = held + octets
            held = b"\r" if piece.endswith(b"\r") else b""
            piece = self._with_crlf(piece[:-1] if held else piece)
            if piece:
                end = piece[-2:]
                yield piece
        self.are_changed = self.are_changed or bool(held)
        if held or (end and not end.endswith(b"\n")):
            yield b"\r\n"

    def _with_crlf(self, piece: bytes) -> bytes:
        ends = piece.count(b"\r\n")
        if ends == piece.count(b"\n") and ends == piece.count(b"\r"):
            return piece
        self.are_changed = True
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")


def _end_of_head(octets: bytes) -> int | None:
    """Return where the empty line behind the header begins, or None if it is to come."""
    if octets.startswith(b"\r\n"):
        raise WrongRaw("has no header: it begins with an empty line")
    at = octets.find(_END, 0, LONGEST_HEADER + len(_END))
    if at >= 0:
        return at + 2
    if len(octets) > LONGEST_HEADER:
        raise WrongRaw(
            f"has a header of more than {LONGEST_HEADER} octets, or no empty line behind it"
        )
    return None


def _no_end(head: bytes) -> str:
    if not head.strip():
        return "is empty"
    for _ in _fields(head):
        pass  # its first mistake says more
    return "has no empty line behind its header"


def _fields(head: bytes) -> Iterator[RawField]:
    """Yield the fields of a header; raises WrongRaw for the first mistake."""
    _check_octets(head)
    at, count, seen = 0, 0, set()
    while at < len(head):
        found = _FIELD.match(head, at)
        if found is None:
            raise WrongRaw(_no_field(head, at))
        count += 1
        if count > MOST_FIELDS:
            raise WrongRaw(f"has more than {MOST_FIELDS} fields in its header")
        name = found[1].decode().lower()
        if name in seen and name in _ONCE:
            raise WrongRaw(f"has two fields {found[1].decode()}; a message has one")
        seen.add(name)
        yield RawField(name, found[2].replace(b"\r\n", b"").decode(), found[0])
        at = found.end()


def _check_octets(head: bytes) -> None:
    found = _CONTROL.search(head)
    if found is not None:
        line = head.count(b"\n", 0, found.start()) + 1
        raise WrongRaw(f"has the control character {found[0][0]:#04x} in line {line}")
    try:
        head.decode()
    except UnicodeDecodeError as error:
        line = head.count(b"\n", 0, error.start) + 1
        raise WrongRaw(
            f"has octets in line {line}, in its header, that are neither ASCII nor UTF-8"
        ) from None


def _no_field(head: bytes, at: int) -> str:
    """Return the error about a line of a header that begins at ``at``."""
    number = head.count(b"\n", 0, at) + 1
    line = head[at : head.find(b"\r\n", at)]
    name, colon, _ = line.partition(b":")
    if line.startswith((b" ", b"\t")):
        why = "it continues a field, and none is before it"
    elif line.startswith(b"From ") and not line.startswith(b"From :"):
        why = "it comes from an mbox file; leave it out"
    elif not colon:
        why = "it has no colon"
    elif name.rstrip(b" \t") != name and not name.rstrip(b" \t").count(b" "):
        why = "a blank is before the colon"
    else:
        why = "a name has only printable ASCII characters and no blank"
    shown = line[:60].decode(errors="replace")
    return f"line {number} is no header field: {why}: {shown!r}"


def _names_binary(before: bytes, piece: bytes) -> bool:
    """Return whether a piece has the field of a part with the encoding binary."""
    octets = before[-_OVERLAP:] + piece
    # Searching for a word is a hundred times faster than the pattern.
    return b"binary" in octets.lower() and _BINARY_PART.search(octets) is not None
