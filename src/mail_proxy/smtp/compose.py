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

from mail_proxy.domain.mail import TRACKING_HEADER, Address, Mail
from mail_proxy.smtp.extra_headers import extra_header
from mail_proxy.smtp.headers import (
    FOLD_AT,
    address_header,
    raw_header,
    text_header,
    token_header,
)
from mail_proxy.smtp.multipart import MailFile, content_of
from mail_proxy.smtp.streamed import Rest
from mail_proxy.smtp.text_part import seven_bit, with_line_ends


@dataclass(frozen=True, slots=True)
class ComposedMail:
    """Message ready for SMTP, with the extensions that it needs.

    ``data`` has CRLF line ends only and ends with one; it is not dot-stuffed and has no final
    dot. ``needs_smtputf8``: an address has a non-ASCII local part (RFC 6531). ``is_8bit``:
    the message has octets above 127. ``rest`` follows ``data`` if the mail has attachments.
    """

    data: bytes | bytearray
    needs_smtputf8: bool
    is_8bit: bool
    rest: Rest | None = None

    @property
    def size(self) -> int:
        """Octets of the message, without stuffed dots (RFC 1870 section 5)."""
        return len(self.data) if self.rest is None else len(self.data) + self.rest.size


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
    rest: Rest | None = None

    def dated(self, date: float) -> ComposedMail:
        """Return the message with a Date (Unix seconds)."""
        data: bytes | bytearray
        if len(self.content) == 1:
            data = b"".join((self.before, date_line(date), self.head, *self.content))
        else:
            data = bytearray(self.before + date_line(date) + self.head)
            for piece in self.content:  # a join would hold the interpreter lock all the time
                data += piece
        return ComposedMail(data, self.needs_smtputf8, self.is_8bit, self.rest)


def compose(
    mail: Mail, *, tracking_id: str, date: float, files: Sequence[MailFile] = ()
) -> ComposedMail:
    """Compose ``mail``, with a Date (``date`` in Unix seconds) and a tracking header.

    ``files`` are its attachments, whose content is read when the mail is sent.
    The same arguments give the same octets. Raises ``ValueError`` with the header's name for text
    that no header may contain, and for lone surrogates.
    """
    return compose_undated(mail, tracking_id, files).dated(date)


def compose_undated(mail: Mail, tracking_id: str, files: Sequence[MailFile] = ()) -> UndatedMail:
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
    is_utf8 = not (before.isascii() and head.isascii())
    content, rest = content_of(mail, files)
    return UndatedMail(
        before=before.encode(),
        head=head.encode(),
        content=content,
        needs_smtputf8=is_utf8 or not _is_envelope_ascii(mail),
        is_8bit=is_utf8 or any(file.is_8bit for file in files),
        rest=rest,
    )


def compose_plain(
    from_line: str, to: str, subject: str, message_id: str, tracking_id: str, body: str
) -> tuple[str, str] | None:
    """Compose as ``compose_undated`` a plain mail to one address, in ASCII; fast.

    Returns the text before the Date and the text behind it, or None if a line has to be folded or
    the body has to be encoded. ``from_line`` is ``from_header`` of the sender.
    """
    to_line = f"To: {to}"
    text = seven_bit(with_line_ends(body))
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
