"""Composes a mail into the octets of an RFC 5322 message, without dot-stuffing.

It writes text, HTML and both, at a small fraction of the cost of the ``email`` package, whose
parser it is tested against. Line ends of the body (CRLF, bare LF and bare CR) become CRLF, and a
body that is not empty ends with one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from hashlib import blake2b

from mail_proxy.domain.long_text import LongText
from mail_proxy.domain.mail import TRACKING_HEADER, Address, Mail
from mail_proxy.smtp.extra_headers import extra_header
from mail_proxy.smtp.headers import (
    FOLD_AT,
    address_header,
    raw_header,
    text_header,
    token_header,
)
from mail_proxy.smtp.long_body import (
    base64_lines,
    encode_long_body,
    has_long_line,
    is_short_quoted_printable,
    quoted_printable,
)

_HEAD_OF_PART = b"Content-Type: text/%b; charset=utf-8\r\nContent-Transfer-Encoding: %b\r\n\r\n%b"


@dataclass(frozen=True, slots=True)
class ComposedMail:
    """Message ready for SMTP, with the extensions that it needs.

    ``data`` has CRLF line ends only and ends with one; it is not dot-stuffed and has no final
    dot. ``needs_smtputf8``: an address has a non-ASCII local part (RFC 6531). ``is_8bit``:
    ``data`` has octets above 127.
    """

    data: bytes | bytearray
    needs_smtputf8: bool
    is_8bit: bool


@dataclass(frozen=True, slots=True)
class UndatedMail:
    """Composed message without its Date, in the parts before and behind it.

    ``head`` is the rest of the header; ``content`` begins with the fields about the content, and
    is in several pieces if it is long. The other attributes are those of ``ComposedMail``.
    """

    before: bytes
    head: bytes
    content: tuple[bytes, ...]
    needs_smtputf8: bool
    is_8bit: bool

    def dated(self, date: float) -> ComposedMail:
        """Return the message with a Date (Unix seconds)."""
        data: bytes | bytearray
        if len(self.content) == 1:
            data = b"".join((self.before, date_line(date), self.head, *self.content))
        else:
            data = bytearray(self.before + date_line(date) + self.head)
            for piece in self.content:  # a join would hold the interpreter lock all the time
                data += piece
        return ComposedMail(data, self.needs_smtputf8, self.is_8bit)


def compose(mail: Mail, *, tracking_id: str, date: float) -> ComposedMail:
    """Compose ``mail``, with a Date (``date`` in Unix seconds) and a tracking header.

    The same arguments give the same octets. Raises ``ValueError`` with the header's name for text
    that no header may contain, and for lone surrogates.
    """
    return compose_undated(mail, tracking_id).dated(date)


def compose_undated(mail: Mail, tracking_id: str) -> UndatedMail:
    """Compose ``mail`` as ``compose`` does, except for the Date."""
    lines = [from_header(mail.sender)]
    if mail.to:
        lines.append(address_header("To", mail.to))
    elif not mail.cc:
        lines.append("To: undisclosed-recipients:;")
    if mail.cc:
        lines.append(address_header("Cc", mail.cc))
    if mail.reply_to:
        lines.append(address_header("Reply-To", mail.reply_to))
    lines += (text_header("Subject", mail.subject), "")
    before = "\r\n".join(lines)
    lines = [raw_header("Message-ID", mail.message_id), token_header(TRACKING_HEADER, tracking_id)]
    if mail.headers:
        lines += [extra_header(name, value) for name, value in mail.headers]
    lines.append("MIME-Version: 1.0\r\n")
    head = "\r\n".join(lines)
    is_8bit = not (before.isascii() and head.isascii())
    return UndatedMail(
        before=before.encode(),
        head=head.encode(),
        content=_content(mail),
        needs_smtputf8=is_8bit or not _is_envelope_ascii(mail),
        is_8bit=is_8bit,
    )


def compose_plain(
    from_line: str, to: str, subject: str, message_id: str, tracking_id: str, body: str
) -> tuple[str, str] | None:
    """Compose as ``compose_undated`` a plain mail to one address, in ASCII; fast.

    Returns the text before the Date and the text behind it, or None if a line has to be folded or
    the body has to be encoded. ``from_line`` is ``from_header`` of the sender.
    """
    to_line = f"To: {to}"
    text = _seven_bit(_with_line_ends(body))
    if text is None or len(to_line) > FOLD_AT:
        return None
    return (
        f"{from_line}\r\n{to_line}\r\n{text_header('Subject', subject)}\r\n",
        f"Message-ID: {message_id}\r\n{token_header(TRACKING_HEADER, tracking_id)}\r\n"
        f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Transfer-Encoding: 7bit\r\n\r\n{text}",
    )


@lru_cache(maxsize=1024)  # the same in most messages of an application
def from_header(sender: Address) -> str:
    """Write the field From."""
    return address_header("From", (sender,))


def header_length(mail: Mail) -> int:
    """Return the number of characters of the header before any encoding."""
    addresses = (mail.sender, *mail.to, *mail.cc, *mail.reply_to)
    return (
        sum(len(a.name) + len(a.email) for a in addresses)
        + sum(len(name) + len(value) for name, value in mail.headers)
        + len(mail.subject)
    )


def _is_envelope_ascii(mail: Mail) -> bool:
    """Return whether the addresses outside the headers (sender, Bcc) are ASCII."""
    return mail.envelope_sender.isascii() and all(a.email.isascii() for a in mail.bcc)


def date_line(date: float) -> bytes:
    """Return the Date field of a time (Unix seconds), with its line end."""
    return _date_line(int(date))


@lru_cache(maxsize=256)  # a queue holds messages of many seconds
def _date_line(seconds: int) -> bytes:
    return f"Date: {format_datetime(datetime.fromtimestamp(seconds, UTC))}\r\n".encode()


def _content(mail: Mail) -> tuple[bytes, ...]:
    """Write the Content-* headers, the empty line and the body."""
    body = _part(mail.content_type, mail.body)
    if mail.body_html is None:
        return body
    parts = (body, _part("html", mail.body_html))
    boundary = _boundary(mail.message_id, parts)
    delimiter = b"\r\n--" + boundary
    pieces = (
        b'Content-Type: multipart/alternative;\r\n boundary="',
        boundary,
        b'"\r\n',
        *(piece for part in parts for piece in (delimiter, b"\r\n", *part)),
        delimiter,
        b"--\r\n",
    )
    is_long = any(len(part) > 1 for part in parts)
    return pieces if is_long else (b"".join(pieces),)


def _part(subtype: str, text: str | LongText) -> tuple[bytes, ...]:
    """Write the Content-* headers of a text, and the text; a long one in pieces."""
    if isinstance(text, LongText):
        encoding, pieces = encode_long_body(text)
        return _HEAD_OF_PART % (subtype.encode(), encoding, b""), *pieces
    return (_HEAD_OF_PART % (subtype.encode(), *encode_body(text)),)


def encode_body(text: str) -> tuple[bytes, bytes]:
    """Return transfer encoding and encoded octets of a body.

    7bit if possible, else the shorter of quoted-printable and base64.
    """
    text = _with_line_ends(text)
    seven_bit = _seven_bit(text)
    if seven_bit is not None:
        return b"7bit", seven_bit.encode()
    octets = text.encode()
    if is_short_quoted_printable((octets,)):
        return b"quoted-printable", b"".join(quoted_printable(octets))
    return b"base64", base64_lines(octets.replace(b"\n", b"\r\n"))


def _with_line_ends(text: str) -> str:
    """Return a body with LF line ends only, and one at its end."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"{text}\n" if text and not text.endswith("\n") else text


def _seven_bit(text: str) -> str | None:
    """Return a body that needs no encoding with CRLF line ends, None for another one."""
    if text.isascii() and "\0" not in text and not has_long_line(text):
        return text.replace("\n", "\r\n")
    return None


def _boundary(message_id: str, parts: Sequence[Sequence[bytes]]) -> bytes:
    """Return a MIME boundary that occurs in no part.

    No transfer encoding produces its first two octets.
    """
    boundary = b"=_" + blake2b(message_id.encode(), digest_size=16).hexdigest().encode()
    while any(_occurs(boundary, part) for part in parts):
        boundary += b"_"
    return boundary


def _occurs(boundary: bytes, pieces: Sequence[bytes]) -> bool:
    if len(pieces) == 1:
        return boundary in pieces[0]
    before = b""
    for piece in pieces:
        octets = before + piece
        if boundary in octets:
            return True
        before = octets[-len(boundary) :]
    return False
