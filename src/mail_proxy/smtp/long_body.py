"""Encodes a body of many megabytes piece by piece.

Other threads have turns in between: each call holds the interpreter lock.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator, Sequence

from mail_proxy.domain.long_text import LongText

#: RFC 5322 section 2.1.1 allows 998 octets; some servers count the line end or a stuffed dot.
MAX_BODY_LINE = 990
_BASE64_LINE = 76
#: Octets that a line of base64 holds.
_BASE64_OCTETS = 57
#: Least octets of whole lines that are encoded in one go.
_PIECE = 64_000
#: Octets that quoted-printable writes as they are (RFC 2045 section 6.7).
_QUOTED_PRINTABLE_PLAIN = bytes([*range(32, 61), *range(62, 127), 9, 10])


def encode_long_body(text: LongText) -> tuple[bytes, list[bytes]]:
    """Return transfer encoding and encoded octets of a body, as ``encode_body`` does.

    A body with a line of more than 64 kB is written in base64 in any case.
    """
    pieces = list(_with_line_ends(text.pieces))
    if _is_seven_bit(pieces):
        return b"7bit", [piece.replace("\n", "\r\n").encode() for piece in pieces]
    octets = [piece.encode() for piece in pieces]
    if all(b"\n" in piece for piece in octets) and is_short_quoted_printable(octets):
        return b"quoted-printable", list(_quoted_lines(octets))
    return b"base64", list(_base64_lines(octets))


def is_short_quoted_printable(octets: Iterable[bytes]) -> bool:
    """Return whether quoted-printable is no longer than base64.

    It adds two octets for each that it escapes, base64 one for every three.
    """
    size = escaped = 0
    for piece in octets:
        size += len(piece)
        escaped += len(piece.translate(None, _QUOTED_PRINTABLE_PLAIN))
    return escaped * 6 <= size


def quoted_printable(octets: bytes) -> Iterator[bytes]:
    """Encode whole lines piece by piece: other threads wait for ``b2a_qp``."""
    begin = 0
    while begin < len(octets):
        end = octets.find(b"\n", begin + _PIECE) + 1 or len(octets)
        yield binascii.b2a_qp(octets[begin:end]).replace(b"\n", b"\r\n")
        begin = end


def base64_lines(octets: bytes) -> bytes:
    """Encode octets in lines of 76 characters."""
    encoded = binascii.b2a_base64(octets, newline=False)
    lines = [encoded[i : i + _BASE64_LINE] for i in range(0, len(encoded), _BASE64_LINE)]
    return b"\r\n".join(lines) + b"\r\n"


def has_long_line(text: str) -> bool:
    """Return whether a line has more characters than a mail may have in one."""
    begin = 0
    while len(text) - begin > MAX_BODY_LINE:
        # No line between two places that are this close can be too long.
        end = text.rfind("\n", begin, begin + MAX_BODY_LINE + 1)
        if end < 0:
            return True
        begin = end + 1
    return False


def _with_line_ends(pieces: Iterable[str]) -> Iterator[str]:
    """Yield a body with LF line ends only, and one at its end."""
    held = last = ""
    for each in pieces:
        piece = held + each
        held = "\r" if piece.endswith("\r") else ""  # the next piece may begin with its LF
        if held:
            piece = piece[:-1]
        last = piece[-1:] or last
        yield piece.replace("\r\n", "\n").replace("\r", "\n") if "\r" in piece else piece
    if held or last not in ("", "\n"):
        yield "\n"


def _is_seven_bit(pieces: Iterable[str]) -> bool:
    unfinished = ""
    for piece in pieces:
        text = unfinished + piece
        if not text.isascii() or "\0" in text or has_long_line(text):
            return False
        unfinished = text[text.rfind("\n") + 1 :]
    return True


def _quoted_lines(pieces: Sequence[bytes]) -> Iterator[bytes]:
    unfinished = b""
    for piece in pieces:
        octets = unfinished + piece
        end = octets.rfind(b"\n") + 1
        yield from quoted_printable(octets[:end])
        unfinished = octets[end:]


def _base64_lines(pieces: Sequence[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        octets = rest + piece.replace(b"\n", b"\r\n")
        end = len(octets) - len(octets) % _BASE64_OCTETS
        if end:
            yield base64_lines(octets[:end])
        rest = octets[end:]
    if rest:
        yield base64_lines(rest)
