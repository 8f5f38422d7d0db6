"""Text of a mail as a MIME part, with the transfer encoding that it needs."""

from __future__ import annotations

import binascii
from collections.abc import Iterator

#: RFC 5322 section 2.1.1 allows 998 octets; some servers count the line end or a stuffed dot.
_MAX_BODY_LINE = 990
_BASE64_LINE = 76
#: Least octets of whole lines that are encoded in one go.
_PIECE = 64_000
#: Octets that quoted-printable writes as they are (RFC 2045 section 6.7).
_QUOTED_PRINTABLE_PLAIN = bytes([*range(32, 61), *range(62, 127), 9, 10])


def text_part(subtype: str, text: str) -> bytes:
    """Return a text as a MIME part: its header fields, an empty line, and its octets."""
    encoding, octets = _encode_body(text)
    return b"Content-Type: text/%b; charset=utf-8\r\nContent-Transfer-Encoding: %b\r\n\r\n%b" % (
        subtype.encode(),
        encoding,
        octets,
    )


def _encode_body(text: str) -> tuple[bytes, bytes]:
    """Return transfer encoding and encoded octets of a body.

    7bit if possible, else the shorter of quoted-printable and base64.
    """
    text = with_line_ends(text)
    plain = seven_bit(text)
    if plain is not None:
        return b"7bit", plain.encode()
    octets = text.encode()
    escaped = len(octets.translate(None, _QUOTED_PRINTABLE_PLAIN))
    # Quoted-printable adds two octets for each that it escapes, base64 one for every three.
    if escaped * 6 <= len(octets):
        return b"quoted-printable", b"".join(_quoted_printable(octets))
    encoded = binascii.b2a_base64(octets.replace(b"\n", b"\r\n"), newline=False)
    lines = [encoded[i : i + _BASE64_LINE] for i in range(0, len(encoded), _BASE64_LINE)]
    return b"base64", b"\r\n".join(lines) + b"\r\n"


def with_line_ends(text: str) -> str:
    """Return a body with LF line ends only, and one at its end."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"{text}\n" if text and not text.endswith("\n") else text


def seven_bit(text: str) -> str | None:
    """Return a body that needs no encoding with CRLF line ends, None for another one."""
    if text.isascii() and "\0" not in text and not _has_long_line(text):
        return text.replace("\n", "\r\n")
    return None


def _quoted_printable(octets: bytes) -> Iterator[bytes]:
    """Encode piece by piece, because other threads wait while ``b2a_qp`` runs."""
    begin = 0
    while begin < len(octets):
        end = octets.find(b"\n", begin + _PIECE) + 1 or len(octets)
        yield binascii.b2a_qp(octets[begin:end]).replace(b"\n", b"\r\n")
        begin = end


def _has_long_line(text: str) -> bool:
    """Return whether a line has more characters than a mail may have in one."""
    begin = 0
    while len(text) - begin > _MAX_BODY_LINE:
        # No line between two places that are this close can be too long.
        end = text.rfind("\n", begin, begin + _MAX_BODY_LINE + 1)
        if end < 0:
            return True
        begin = end + 1
    return False
