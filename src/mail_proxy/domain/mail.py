"""Content of one mail, as validated at intake and composed at delivery."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mail_proxy.domain.attachment import Attachment
from mail_proxy.domain.long_text import LongText

#: Header that ties a sent mail, and what comes back for it, to its message.
TRACKING_HEADER = "X-Genro-Mail-ID"


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox: display name (may be empty, any Unicode) and addr-spec.

    ``email`` has its domain in ASCII (IDNA); its local part may be non-ASCII (RFC 6531).
    """

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail: addresses, subject, bodies and headers; nothing about delivery.

    ``message_id`` includes the angle brackets. ``body_html`` next to a plain ``body`` means
    multipart/alternative. ``headers`` holds extra headers in order; none of them is
    reserved (``header_fields``). No text in headers or addresses contains CR, LF or NUL.
    ``not_before`` (Unix seconds) is the time that the mail is scheduled for. With the
    ``content_type`` raw, the only attachment is the whole message.
    """

    sender: Address
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    subject: str
    body: str | LongText
    content_type: Literal["plain", "html", "raw"]
    message_id: str
    body_html: str | LongText | None = None
    reply_to: tuple[Address, ...] = ()
    return_path: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=())
    not_before: float | None = None
    attachments: tuple[Attachment, ...] = ()

    def dated(self, taken_in: float) -> float:
        """Return the Date of every copy: the time of intake, or the later scheduled time."""
        return dated(self.not_before, taken_in)

    @property
    def envelope_sender(self) -> str:
        """The reverse-path: ``return_path`` if given, else the From address."""
        return self.sender.email if self.return_path is None else self.return_path

    @property
    def recipients(self) -> tuple[str, ...]:
        """Envelope recipients in order To, Cc, Bcc, each address once."""
        return tuple(dict.fromkeys(a.email for a in (*self.to, *self.cc, *self.bcc)))


def dated(not_before: float | None, taken_in: float) -> float:
    """Return the Date of a mail: the time of intake, or the later scheduled time."""
    return taken_in if not_before is None else max(taken_in, not_before)
