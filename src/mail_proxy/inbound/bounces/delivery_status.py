"""Fields of delivery status notifications (RFC 3464), also of broken ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mail_proxy.inbound.addresses import decode_xtext, field_address, same
from mail_proxy.inbound.bounces.codes import Codes, codes_in, status_field
from mail_proxy.inbound.mime import Part

STATUS_TYPES = frozenset(
    {
        "message/delivery-status",
        "message/global-delivery-status",
        "message/delivery-report",
        "text/delivery-status",
        "application/delivery-status",
    }
)
_MOST_RECIPIENTS = 2_000
_MOST_LINES = 40_000
_MOST_VALUE = 2_000
_FIELD = re.compile(r"[ >]{0,4}([A-Za-z][A-Za-z0-9-]{1,60})[ \t]{0,4}:(.*)")
_RECIPIENT_FIELDS = frozenset({"final-recipient", "original-recipient"})
#: Fields about one recipient: a block with one of them belongs to a recipient.
_OF_RECIPIENT = frozenset(
    {"action", "status", "diagnostic-code", "remote-mta", "x-actual-recipient"}
)
#: Names that begin a field even if the line is indented.
_KNOWN = _RECIPIENT_FIELDS | _OF_RECIPIENT | {"last-attempt-date", "will-retry-until"}
#: A text that is no report part is one nevertheless, if lines of it begin with these.
_IN_TEXT = re.compile(
    r"^[ >]{0,4}(?:Final|Original)-Recipient[ \t]{0,4}:", re.IGNORECASE | re.MULTILINE
)
_IN_TEXT_TOO = re.compile(r"^[ >]{0,4}(?:Action|Status)[ \t]{0,4}:", re.IGNORECASE | re.MULTILINE)
_DIAGNOSTIC_TYPE = re.compile(
    r"^\s{0,5}(smtp|esmtp|x-[\w.-]{1,40}|dns|unix|[\w-]{1,20})\s{0,5};\s{0,5}", re.IGNORECASE
)
#: Words of ``Action`` that servers use next to the five of RFC 3464.
_ACTIONS = (
    ("fail", "failed"),
    ("delivery-fail", "failed"),
    ("error", "failed"),
    ("undeliver", "failed"),
    ("expired", "failed"),
    ("reject", "failed"),
    ("bounce", "failed"),
    ("delay", "delayed"),
    ("deferr", "delayed"),
    ("warn", "delayed"),
    ("deliver", "delivered"),
    ("relay", "relayed"),
    ("expand", "expanded"),
    ("success", "delivered"),
)


@dataclass(slots=True)
class StatusRecord:
    """Fields about one recipient."""

    fields: dict[str, str] = field(default_factory=dict)

    @property
    def action(self) -> str | None:
        """Action of RFC 3464 in lower case; from the status if it is missing."""
        word = self.fields.get("action", "").strip().lower()
        for beginning, action in _ACTIONS:
            if word.startswith(beginning):
                return action
        permanence = self.codes().permanence
        return {"2": "delivered", "4": "failed", "5": "failed"}.get(permanence or "")

    def codes(self) -> Codes:
        """Return the codes, the exact ones of status and diagnostic code."""
        status = status_field(self.fields.get("status", ""))
        said = codes_in(self.diagnostic(), is_reply=True)
        if status is None:
            return said
        mine = Codes(status)
        if said.enhanced and said.enhanced[0] != status[0] and not mine.is_generic:
            said = Codes(None, said.reply)
        return mine.better(said)

    def diagnostic(self) -> str:
        """Return the server's answer without the name of its type."""
        return _DIAGNOSTIC_TYPE.sub("", self.fields.get("diagnostic-code", ""), count=1).strip()

    def comment(self) -> str:
        """Return what a server wrote in brackets behind the status."""
        return self.fields.get("status", "").partition("(")[2].rpartition(")")[0]

    def address(self, returned_to: Iterable[str]) -> str:
        """Return the address that the sender used.

        ``returned_to`` are the recipients in the header of the returned message. A forwarded
        message fails at its final recipient, but it is the original one that was written to.
        """
        final = field_address(self.fields.get("final-recipient", ""))
        original = field_address(self.fields.get("original-recipient", ""))
        if original and final and same(decode_xtext(original), final):
            return final
        if original and "@" in original and not self._prefers(final, original, returned_to):
            return original
        return final or field_address(self.fields.get("x-actual-recipient", ""))

    @staticmethod
    def _prefers(final: str, original: str, returned_to: Iterable[str]) -> bool:
        known = {address.casefold() for address in returned_to}
        return final.casefold() in known and original.casefold() not in known


@dataclass(slots=True)
class StatusReport:
    """A delivery status notification: fields of the message, record per recipient."""

    message: dict[str, str] = field(default_factory=dict)
    records: list[StatusRecord] = field(default_factory=list)


def status_parts(message: Part) -> list[Part]:
    return [part for part in message.leaves() if part.content_type in STATUS_TYPES]


def read_status(texts: Iterable[str]) -> StatusReport:
    """Return the report of these texts, in which blank lines separate the recipients."""
    report = StatusReport()
    for text in texts:
        for block in _blocks(text):
            _add(report, block)
    return report


def looks_like_status(text: str) -> bool:
    """Return whether a text holds the fields of a delivery status notification."""
    return bool(_IN_TEXT.search(text) and _IN_TEXT_TOO.search(text))


def _add(report: StatusReport, block: list[tuple[str, str]]) -> None:
    names = {name for name, _ in block}
    if not names & _RECIPIENT_FIELDS:
        if not names & _OF_RECIPIENT:
            for name, value in block:
                report.message.setdefault(name, value)
        elif report.records and not names & report.records[-1].fields.keys():
            report.records[-1].fields.update(block)  # a blank line inside of a record
        elif not report.records or "action" in names:
            report.records.append(StatusRecord(dict(block)))
        return
    for fields in _by_recipient(block):
        if len(report.records) >= _MOST_RECIPIENTS:
            return
        last = report.records[-1] if report.records else None
        if (
            last
            and not last.fields.keys() & _RECIPIENT_FIELDS
            and not last.fields.keys() & fields.keys()
        ):
            last.fields.update(fields)
        else:
            report.records.append(StatusRecord(fields))


def _by_recipient(block: list[tuple[str, str]]) -> Iterator[dict[str, str]]:
    """Split a block without blank lines; a repeated field begins a recipient."""
    fields: dict[str, str] = {}
    for name, value in block:
        if name in fields and (name in _RECIPIENT_FIELDS or name == "action"):
            yield fields
            fields = {}
        fields.setdefault(name, value)
    yield fields


def _blocks(text: str) -> Iterator[list[tuple[str, str]]]:
    block: list[tuple[str, str]] = []
    for line in text.split("\n", _MOST_LINES)[:_MOST_LINES]:
        found = _FIELD.match(line)
        if found and (not block or not line[0].isspace() or found[1].lower() in _KNOWN):
            block.append((found[1].lower(), found[2].strip()[:_MOST_VALUE]))
        elif line.strip() and block:
            name, value = block[-1]
            if len(value) < _MOST_VALUE:
                block[-1] = (name, f"{value} {line.strip()}"[:_MOST_VALUE])
        elif block:
            yield block
            block = []
    if block:
        yield block
