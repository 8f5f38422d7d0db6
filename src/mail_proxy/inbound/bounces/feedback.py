"""Feedback reports (ARF, RFC 5965) and the older forms of providers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mail_proxy.inbound.addresses import addresses_in, field_address, unique
from mail_proxy.inbound.bounces.returned import Returned
from mail_proxy.inbound.mime import Part, read_fields

_REPORT_TYPES = frozenset({"message/feedback-report", "application/feedback-report"})
#: Reports that are no complaint: ``not-spam`` (RFC 6430), ``auth-failure`` (RFC 6591).
NOT_COMPLAINTS = frozenset({"not-spam", "auth-failure", "dmarc", "dkim", "spf"})
_RECIPIENT_FIELDS = (
    "original-rcpt-to",
    "removal-recipient",
    "redacted-address",
    "original-recipient",
)
#: Fields in the returned message that name its recipient: Hotmail, Yahoo, others.
_RETURNED_FIELDS = (
    "x-hmxmroriginalrecipient",
    "x-original-recipient",
    "x-rcpt-to",
    "x-envelope-to",
    "envelope-to",
    "x-original-to",
    "delivered-to",
    "to",
)
_HOTMAIL_SENDER = re.compile(
    r"(?:staff|jmrp\w{0,20}|postmaster|sndsapps?)@(?:\w{1,20}\.){0,2}(?:hotmail|outlook|live)\.",
    re.IGNORECASE,
)
_COMPLAINT_SUBJECT = re.compile(
    r"complaint about message|^feedback report|email feedback report|abuse report|fbl report|"
    r"spam (?:complaint|report)|client tos notification|user complaint",
    re.IGNORECASE,
)
_TYPE = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(slots=True)
class Feedback:
    """A report of a provider about a message that its user marked."""

    type: str
    recipients: list[str]

    @property
    def is_complaint(self) -> bool:
        return self.type not in NOT_COMPLAINTS


def read_feedback(message: Part, returned: Returned) -> Feedback | None:
    """Return the report, None for a mail that is none."""
    part = next((p for p in message.leaves() if p.content_type in _REPORT_TYPES), None)
    if part is not None:
        fields = read_fields(part.text())
        return Feedback(_type(fields), _recipients(fields, returned))
    if message.parameters.get("report-type", "").lower() == "feedback-report":
        fields = [f for p in message.leaves() for f in read_fields(p.text())]
        return Feedback(_type(fields), _recipients(fields, returned))
    if returned.fields and _is_old_complaint(message, returned):
        return Feedback("abuse", _recipients([], returned))
    return None


def _is_old_complaint(message: Part, returned: Returned) -> bool:
    subject = message.header("subject") or ""
    if returned.value("x-hmxmroriginalrecipient"):
        return True
    sender = message.header("from") or ""
    return bool(_COMPLAINT_SUBJECT.search(subject)) and (
        bool(_HOTMAIL_SENDER.search(sender)) or "multipart" in message.content_type
    )


def _type(fields: list[tuple[str, str]]) -> str:
    value = next((v for name, v in fields if name == "feedback-type"), "abuse").strip().lower()
    found = _TYPE.match(value)
    return found[0] if found else "abuse"


def _recipients(fields: list[tuple[str, str]], returned: Returned) -> list[str]:
    for wanted in _RECIPIENT_FIELDS:
        found = [field_address(value) for name, value in fields if name == wanted]
        if any("@" in address for address in found):
            return unique(address for address in found if "@" in address)
    for wanted in _RETURNED_FIELDS:
        value = returned.value(wanted)
        if value and addresses_in(value):
            return addresses_in(value)
    return []
