"""Rules of Italian certified mail (PEC, RFC 6109) about messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from mail_proxy.domain.attachment import FetchMode
from mail_proxy.domain.mail import Mail

_MB = 1_000_000
#: Characters of a line of base64, and of its end.
_LINE, _END = 76, 2


@dataclass(frozen=True, slots=True)
class MailShape:
    """Properties of a mail that decide whether a PEC account may send it.

    ``octets`` is the size of the mail, or less. ``sender`` is the address of From; it is empty
    if From is not known yet.
    """

    sender: str
    envelope_sender: str
    has_bcc: bool
    recipients: int
    octets: int


#: Field of the message, and the reason against it.
Objection = tuple[str, str]


def shape_of(mail: Mail, octets: int = 0) -> MailShape:
    """Return the shape of a mail; its size is ``octets``, or that of its texts."""
    is_known = bool(mail.sender.email)
    return MailShape(
        sender=mail.sender.email,
        envelope_sender=mail.envelope_sender if is_known else "",
        has_bcc=bool(mail.bcc),
        recipients=len(mail.recipients),
        octets=max(octets, _least_octets(mail)),
    )


def objections(shape: MailShape, most_mb: float) -> Iterator[Objection]:
    """Yield each reason why a PEC account may not send a mail of this shape.

    ``most_mb`` is the largest size times recipients, in 10^6 octets.
    """
    if shape.envelope_sender.casefold() != shape.sender.casefold():
        yield (
            "return_path",
            f"the envelope sender of a PEC message is its From, {shape.sender}; leave it out",
        )
    if shape.has_bcc:
        yield "bcc", "a PEC message has no hidden recipients; use to or cc"
    product = shape.octets * shape.recipients / _MB
    if product > most_mb:
        yield (
            "to",
            f"{shape.octets / _MB:.2f} MB for {_counted(shape.recipients)} make {product:.2f} MB; "
            f"allowed: {most_mb:g} MB (pec_max_mb)",
        )


def _counted(recipients: int) -> str:
    return "1 recipient" if recipients == 1 else f"{recipients} recipients"


def _least_octets(mail: Mail) -> int:
    """Return the size of the texts and of attachments in base64."""
    inline = sum(len(each.path) for each in mail.attachments if each.mode is FetchMode.BASE64)
    return len(mail.body) + len(mail.body_html or "") + inline + inline // _LINE * _END


class PecStatus(StrEnum):
    """States of one recipient, the more certain ones behind."""

    ACCEPTED = "accepted"
    RELAYED = "relayed"
    WARNING = "warning"
    ERROR = "error"
    DELIVERED = "delivered"


#: What each event says about its recipients.
STATUS_OF = {
    "pec_acceptance": PecStatus.ACCEPTED,
    "pec_relay": PecStatus.RELAYED,
    "pec_warning": PecStatus.WARNING,
    "pec_error": PecStatus.ERROR,
    "pec_delivery": PecStatus.DELIVERED,
}


def is_news(status: PecStatus, before: str | None) -> bool:
    """Return whether a status replaces the one ``before``: receipts come in any order."""
    order = list(PecStatus)
    return before is None or order.index(status) >= order.index(PecStatus(before))
