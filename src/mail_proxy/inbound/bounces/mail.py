"""A mail as the bounce parser sees it: explanation, report, returned message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from mail_proxy.inbound.addresses import addresses_in, unique
from mail_proxy.inbound.bounces.delivery_status import (
    STATUS_TYPES,
    StatusReport,
    looks_like_status,
    read_status,
)
from mail_proxy.inbound.bounces.explanation import Explanation
from mail_proxy.inbound.bounces.returned import (
    Returned,
    ids_in,
    message_id,
    returned_part,
    split_copy,
)
from mail_proxy.inbound.bounces.signs import has, is_wholly
from mail_proxy.inbound.mime import HEADER_TYPES, MESSAGE_TYPES, Part

_MOST_TEXTS = 4
_MOST_DELIVERED_TO = 20
_OWN_FIELDS = ("to", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to")
_ORIGINAL_ID_FIELDS = ("x-original-message-id", "original-message-id")
_QUOTED = re.compile(r"^>", re.MULTILINE)
_ANSWERS = ("re:", "fw:", "fwd:", "aw:", "wg:", "r:", "i:", "sv:", "tr:", "rv:", "antw:")


@dataclass
class ReturnedMail:
    """Parts of a mail that came back, found once and used by every detector."""

    message: Part

    @cached_property
    def subject(self) -> str:
        return " ".join((self.message.header("subject") or "")[:1_000].split())

    @cached_property
    def is_from_daemon(self) -> bool:
        """True if the sender is a mail server, by its address or its name."""
        sender = (self.message.header("from") or self.message.header("sender") or "")[:500]
        addresses = addresses_in(sender)
        locals_ = [address.partition("@")[0] for address in addresses] or [
            sender.strip("<> ").partition("@")[0]
        ]
        if any(is_wholly("daemon address", local) for local in locals_):
            return True
        return has("daemon name", sender.partition("<")[0] if "<" in sender else "")

    @cached_property
    def has_null_sender(self) -> bool:
        """True if the envelope had no sender, as each bounce (RFC 5321)."""
        path = self.message.header("return-path")
        return path is not None and path.strip("<> ").lower() in ("", "mailer-daemon")

    @property
    def domain(self) -> str:
        """Domain of the sender; empty if it has none."""
        sender = addresses_in((self.message.header("from") or "")[:500])
        return sender[0].rpartition("@")[2] if sender else ""

    @cached_property
    def has_bounce_subject(self) -> bool:
        """True for a subject of a bounce; not for the answer of a person to it."""
        if not has("bounce subject", self.subject):
            return False
        if self.is_from_daemon or not self.subject.lower().startswith(_ANSWERS):
            return True
        answers = self.message.header("in-reply-to") or self.message.header("references")
        return not answers and _QUOTED.search(self.text) is None

    @cached_property
    def is_delivery_report(self) -> bool:
        """True if the mail calls itself a delivery report, even without the fields of one."""
        kind = self.message.parameters.get("report-type", "").lower()
        return kind == "delivery-status" and self.message.content_type == "multipart/report"

    @cached_property
    def delivered_to(self) -> list[str]:
        """Addresses to which this mail was sent."""
        values = [
            v for name in _OWN_FIELDS for v in self.message.headers(name)[:_MOST_DELIVERED_TO]
        ]
        return unique(a for value in values for a in addresses_in(value))[:_MOST_DELIVERED_TO]

    @cached_property
    def status(self) -> StatusReport:
        """Fields of the report, also of one whose content type is wrong."""
        parts = [part for part in self.message.leaves() if part.content_type in STATUS_TYPES]
        texts = [part.text() for part in parts]
        if not any(looks_like_status(text) for text in texts) and looks_like_status(self.text):
            texts.append(self.text)
        return read_status(texts)

    @property
    def text(self) -> str:
        """Text in front of the copy of the message."""
        return self._split[0]

    @property
    def returned(self) -> Returned:
        return self._split[1]

    @cached_property
    def explanation(self) -> Explanation:
        names = ("to", "delivered-to", "from")
        own = [value for name in names for value in self.message.headers(name)]
        return Explanation(self.text, self.returned, addresses_in(" ".join(own)))

    @cached_property
    def ids(self) -> tuple[str | None, str | None]:
        """Message id and tracking id of the returned message."""
        found_id, tracking = self.returned.message_id, self.returned.tracking_id
        if not (found_id and tracking):
            in_text = ids_in(self._texts)
            found_id, tracking = found_id or in_text[0], tracking or in_text[1]
        if not found_id:
            values = [self.status.message.get(name) for name in _ORIGINAL_ID_FIELDS]
            values += [
                r.fields.get(n) for r in self.status.records[:1] for n in _ORIGINAL_ID_FIELDS
            ]
            values.append(self.message.header("in-reply-to"))
            values.append(" ".join((self.message.header("references") or "").split()[-1:]))
            found_id = next((i for i in (message_id(v or "") for v in values) if i), None)
        return found_id, tracking[:300] if tracking else None

    @cached_property
    def _texts(self) -> list[str]:
        """The texts of the mail in front of the first report or message in it."""
        plain: list[str] = []
        others: list[str] = []
        for part in self.message.leaves():
            kind = part.content_type
            if kind in STATUS_TYPES or kind in HEADER_TYPES or kind in MESSAGE_TYPES:
                if plain or others:
                    break
            elif kind == "text/html":
                others.append(part.text())
            elif kind.startswith(("text/", "multipart/")) or "/" not in kind:
                text = part.text()
                if text.strip():
                    plain.append(text)
            if len(plain) >= _MOST_TEXTS or len(others) >= _MOST_TEXTS:
                break
        # Some servers write the explanation where only readers without MIME see it.
        return plain or others or [self.message.preamble()]

    @cached_property
    def _split(self) -> tuple[str, Returned]:
        returned = returned_part(self.message)
        explanations: list[str] = []
        for text in self._texts:
            explanation, copied = split_copy(text)
            if not explanations or "@" not in "".join(explanations):
                explanations.append(explanation)
            if not returned.fields:
                returned = copied
        return "\n\n".join(explanations), returned
