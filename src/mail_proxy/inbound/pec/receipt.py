"""Parser of PEC receipts (RFC 6109): event, original message, recipient."""

from __future__ import annotations

from dataclasses import dataclass

from mail_proxy.domain.mail import TRACKING_HEADER
from mail_proxy.inbound.addresses import addresses_in, unique
from mail_proxy.inbound.mime import Part, read_message
from mail_proxy.inbound.pec.daticert import CertificationData, read_daticert

#: ``X-Ricevuta``, and the event that such a receipt is.
EVENTS = {
    "accettazione": "pec_acceptance",
    "non-accettazione": "pec_error",
    "presa-in-carico": "pec_relay",
    "avvenuta-consegna": "pec_delivery",
    "preavviso-errore-consegna": "pec_warning",
    "errore-consegna": "pec_error",
    "mancata-consegna": "pec_error",
    "rilevazione-virus": "pec_error",
}
#: Receipts about the whole message, whoever its recipients are.
_ABOUT_MESSAGE = frozenset({"accettazione", "non-accettazione"})
_NO_ERROR = "nessuno"
_FILE = "daticert.xml"
_MOST_TEXT = 500


@dataclass(frozen=True, slots=True)
class PecReceiptInfo:
    """Content of one PEC receipt; ``event`` is None for a mail that is no receipt.

    ``message_id`` is that of the original message, ``receipt_message_id`` that of the receipt.
    ``recipients`` are those that the receipt is about. ``timestamp`` is ISO 8601 with a zone.
    ``delivery_kind`` is ``completa``, ``breve`` or ``sintetica``. ``transport`` is ``X-Trasporto``
    of an envelope or an anomaly, which is no receipt.
    """

    event: str | None = None
    receipt_type: str | None = None
    message_id: str | None = None
    recipients: tuple[str, ...] = ()
    identifier: str | None = None
    timestamp: str | None = None
    provider: str | None = None
    error: str | None = None
    error_reason: str | None = None
    delivery_kind: str | None = None
    security_check: str | None = None
    receipt_message_id: str | None = None
    tracking_id: str | None = None
    transport: str | None = None

    @property
    def recipient(self) -> str | None:
        """The recipient, if the receipt is about a single one."""
        return self.recipients[0] if len(self.recipients) == 1 else None


class PecReceiptParser:
    """Parser of PEC receipts; takes any octets.

    The signature is not verified here. A receipt is what its own header names so: ``X-Ricevuta``
    in a message inside, or in a transport envelope, proves nothing.
    """

    def parse(self, octets: bytes) -> PecReceiptInfo:
        """Return the content of a receipt.

        Takes time and memory in proportion to the size of the mail; not for the event loop.
        """
        message = read_message(octets)
        transport = _value(message, "x-trasporto")
        if transport is not None:
            return PecReceiptInfo(transport=transport.lower())
        receipt_type = (_value(message, "x-ricevuta") or "").lower()
        if not receipt_type:
            return PecReceiptInfo()
        return _receipt(message, receipt_type)


def _receipt(message: Part, receipt_type: str) -> PecReceiptInfo:
    data = _certification(message) or CertificationData()
    error = data.error if data.error != _NO_ERROR else ""
    header_id = _value(message, "x-riferimento-message-id") or ""
    return PecReceiptInfo(
        event=EVENTS.get(receipt_type),
        receipt_type=receipt_type,
        message_id=_message_id(data.message_id) or _message_id(header_id),
        recipients=tuple(_recipients(data, receipt_type)),
        identifier=data.identifier[:_MOST_TEXT] or None,
        timestamp=data.timestamp(),
        provider=data.provider[:_MOST_TEXT] or None,
        error=error[:_MOST_TEXT] or None,
        error_reason=data.error_reason[:_MOST_TEXT] or None,
        delivery_kind=data.receipt_kind
        or (_value(message, "x-tiporicevuta") or "").lower()
        or None,
        security_check=_value(message, "x-verificasicurezza"),
        receipt_message_id=_message_id(_value(message, "message-id") or ""),
        tracking_id=_tracking_id(message),
    )


def _certification(message: Part) -> CertificationData | None:
    """Return the data of the ``daticert.xml`` outside of other messages."""
    candidates = [
        part for part in message.leaves() if part.content is None and part.filename() == _FILE
    ] or [part for part in message.leaves() if part.content_type in ("application/xml", "text/xml")]
    for part in candidates[:3]:
        data = read_daticert(part.octets())
        if data is not None:
            return data
    return None


def _tracking_id(message: Part) -> str | None:
    """Return the tracking header of the original message inside of a receipt."""
    inner = (part.content for part in message.leaves() if part.content is not None)
    return next(filter(None, (_value(part, TRACKING_HEADER.lower()) for part in inner)), None)


def _recipients(data: CertificationData, receipt_type: str) -> list[str]:
    if data.delivery and receipt_type not in _ABOUT_MESSAGE:
        return _addresses([data.delivery])
    if data.received and receipt_type not in _ABOUT_MESSAGE:
        return _addresses(data.received)
    return _addresses(data.recipients)


def _addresses(values: list[str]) -> list[str]:
    return unique(a for value in values for a in addresses_in(value) or [value[:_MOST_TEXT]])


def _message_id(value: str) -> str | None:
    value = value.strip()
    if not value or len(value) > _MOST_TEXT:
        return None
    return value if value.startswith("<") else f"<{value.strip('<>')}>"


def _value(message: Part, name: str) -> str | None:
    value = (message.header(name) or "").strip()[:_MOST_TEXT]
    return value or None
