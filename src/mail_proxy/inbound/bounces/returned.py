"""Header of the message that came back, from a part or from a text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from mail_proxy.domain.mail import TRACKING_HEADER
from mail_proxy.inbound.addresses import addresses_in, clean, field_address, unique
from mail_proxy.inbound.bounces.signs import begins_with
from mail_proxy.inbound.mime import HEADER_TYPES, MESSAGE_TYPES, Part, read_fields
from mail_proxy.wire.encoded_words import decoded_words

_HEADER_LINE = re.compile(r"(?:> ?)?([A-Za-z][A-Za-z0-9-]{1,50}):(?:[ \t]|$)")
#: Fields that stand in a copied header, and hardly in an explanation.
_STRONG = frozenset(
    [
        *("received", "return-path", "message-id", "mime-version", "content-type"),
        *("content-transfer-encoding", "dkim-signature", "received-spf", "delivered-to"),
        *("x-mailer", "user-agent", TRACKING_HEADER.lower()),
    ]
)
_WEAK = frozenset(
    ["from", "to", "cc", "subject", "date", "reply-to", "sender", "in-reply-to", "references"]
)
_FAILURE = re.compile(r"\b[45]\d\d\b|recipient|deliver|reason|unknown", re.IGNORECASE)
_RECEIVED_FOR = re.compile(r"\bfor\s{1,5}<?([^\s<>;]{1,64}@[^\s<>;]{1,255})>?\s{0,5};")
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,250}@?[^<>\s]{0,250}>")
_ID_IN_TEXT = re.compile(r"message-?\s?id\W{1,5}(<[^<>\s]{3,300}>)", re.IGNORECASE)
_TRACKING = re.compile(
    rf"^[ >\t]{{0,4}}{TRACKING_HEADER}:[ \t]{{0,4}}(\S[^\n]{{0,300}})", re.IGNORECASE | re.MULTILINE
)
_MOST_LINES = 3_000
_MOST_RECIPIENTS = 500


@dataclass(slots=True)
class Returned:
    """Header fields of the returned message; empty if none were returned."""

    fields: list[tuple[str, str]] = field(default_factory=list)

    def value(self, name: str) -> str | None:
        return next((decoded_words(v) for found, v in self.fields if found == name and v), None)

    @property
    def recipients(self) -> list[str]:
        """Addresses in To, Cc and Bcc, in order."""
        return self._addresses("to", "cc", "bcc", "x-original-to", "apparently-to")

    @property
    def received_for(self) -> str | None:
        """Address in the newest ``Received`` field that names one."""
        for name, value in self.fields:
            found = _RECEIVED_FOR.search(value) if name == "received" else None
            if found:
                return clean(found[1]) or None
        return None

    @property
    def senders(self) -> list[str]:
        return self._addresses("from", "sender", "return-path", "reply-to", "x-sender", "errors-to")

    @property
    def message_id(self) -> str | None:
        return message_id(self.value("message-id") or "")

    @property
    def tracking_id(self) -> str | None:
        return (self.value(TRACKING_HEADER.lower()) or "").strip() or None

    def _addresses(self, *names: str) -> list[str]:
        found: list[str] = []
        for name, value in self.fields:
            if name in names and len(found) < _MOST_RECIPIENTS:
                text = decoded_words(value)
                found += addresses_in(text) or [a for a in [field_address(text)] if a]
        return unique(found)


def message_ids(value: str) -> list[str]:
    """Return all message ids of a field such as ``References``, with angle brackets."""
    return _MESSAGE_ID.findall(value)


def message_id(value: str) -> str | None:
    """Return the first message id of a field, with angle brackets."""
    found = _MESSAGE_ID.search(value)
    if found:
        return found[0]
    word = value.split()[0].strip("<>,;") if value.split() else ""
    return f"<{word}>" if "@" in word and len(word) < 300 else None


def returned_part(message: Part) -> Returned:
    """Return the header of the message that a part of the report contains."""
    for part in message.leaves():
        if part is message:
            continue
        if any(name == "received" for name, _ in part.fields):
            fields = part.fields  # the header of the message stands where that of the part should
        elif part.content_type in HEADER_TYPES:
            fields = read_fields(part.text())
        elif part.content_type in MESSAGE_TYPES and part.content is not None:
            fields = part.content.fields
        else:
            continue
        if any(name in _STRONG or name in _WEAK for name, _ in fields):
            return Returned(fields)
    return Returned()


def split_copy(text: str) -> tuple[str, Returned]:
    """Return the explanation in a text, and the header of the copy that follows it."""
    lines = text.split("\n", _MOST_LINES)[:_MOST_LINES]
    for number, line in enumerate(lines):
        if len(line) < 160 and begins_with("copy line", line):
            following = "\n".join(lines[number + 1 :])
            returned = _first_header(lines, number + 1)
            if returned.fields or not _FAILURE.search(following[:2_000]):
                return "\n".join(lines[:number]), returned
        elif _begins_header(lines, number):
            return "\n".join(lines[:number]), _read(lines, number)
    return "\n".join(lines), Returned()


def ids_in(texts: Iterable[str]) -> tuple[str | None, str | None]:
    """Return message id and tracking id that stand somewhere in these texts."""
    found_id = found_tracking = None
    for text in texts:
        match = _ID_IN_TEXT.search(text)
        found_id = found_id or (match[1] if match else None)
        match = _TRACKING.search(text)
        found_tracking = found_tracking or (decoded_words(match[1]).strip() if match else None)
    return found_id, found_tracking


def _first_header(lines: list[str], start: int) -> Returned:
    for number in range(start, min(len(lines), start + 15)):
        if _HEADER_LINE.match(lines[number].lstrip(" \t")):
            return _read(lines, number)
    return Returned()


def _read(lines: list[str], start: int) -> Returned:
    quoted = "\n".join(line[2:] if line.startswith("> ") else line for line in lines[start:])
    indent = len(lines[start]) - len(lines[start].lstrip(" \t"))
    if indent:
        quoted = "\n".join(line[indent:] for line in quoted.split("\n"))
    return Returned(read_fields(quoted))


def _begins_header(lines: list[str], number: int) -> bool:
    """Return whether a block of header fields begins at this line."""
    first = _HEADER_LINE.match(lines[number])
    if not first or (number and lines[number - 1].strip()):
        return False
    names: list[str] = []
    for line in lines[number : number + 40]:
        found = _HEADER_LINE.match(line)
        if found:
            names.append(found[1].lower())
        elif not line.strip() or line[0] not in " \t":
            break
    strong = sum(name in _STRONG for name in names)
    return strong >= 1 and strong + sum(name in _WEAK for name in names) >= 3
