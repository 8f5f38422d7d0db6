"""Text of a mail as a MIME part, with the transfer encoding that it needs."""

from __future__ import annotations

from mail_proxy.domain.long_text import LongText
from mail_proxy.smtp.long_body import (
    base64_lines,
    encode_long_body,
    has_long_line,
    is_short_quoted_printable,
    quoted_printable,
)

_HEAD_OF_PART = b"Content-Type: text/%b; charset=utf-8\r\nContent-Transfer-Encoding: %b\r\n\r\n%b"


def text_part(subtype: str, text: str | LongText) -> tuple[bytes, ...]:
    """Write the Content-* headers of a text, and the text; a long one in pieces."""
    if isinstance(text, LongText):
        encoding, pieces = encode_long_body(text)
        return _HEAD_OF_PART % (subtype.encode(), encoding, b""), *pieces
    return (_HEAD_OF_PART % (subtype.encode(), *encode_body(text)),)


def encode_body(text: str) -> tuple[bytes, bytes]:
    """Return transfer encoding and encoded octets of a body.

    7bit if possible, else the shorter of quoted-printable and base64.
    """
    text = with_line_ends(text)
    plain = seven_bit(text)
    if plain is not None:
        return b"7bit", plain.encode()
    octets = text.encode()
    if is_short_quoted_printable((octets,)):
        return b"quoted-printable", b"".join(quoted_printable(octets))
    return b"base64", base64_lines(octets.replace(b"\n", b"\r\n"))


def with_line_ends(text: str) -> str:
    """Return a body with LF line ends only, and one at its end."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"{text}\n" if text and not text.endswith("\n") else text


def seven_bit(text: str) -> str | None:
    """Return a body that needs no encoding with CRLF line ends, None for another one."""
    if text.isascii() and "\0" not in text and not has_long_line(text):
        return text.replace("\n", "\r\n")
    return None
