"""Notifications of Amazon SES in JSON, which Amazon SNS sends by mail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mail_proxy.inbound.addresses import addresses_in
from mail_proxy.inbound.bounces.codes import Codes, codes_in, status_field
from mail_proxy.inbound.bounces.info import BounceKind

_BEGINNINGS = ('{"notificationType"', '{"eventType"')
_KINDS = {
    "bounce": BounceKind.BOUNCE,
    "complaint": BounceKind.COMPLAINT,
    "delivery": BounceKind.DELIVERED,
    "deliverydelay": BounceKind.DELAYED,
}
_MOST_CHARACTERS = 200_000
_MOST_RECIPIENTS = 1_000
_MOST_ID = 300


@dataclass(slots=True)
class NotifiedRecipient:
    """One recipient of a notification: its address, the answer about it and the codes."""

    address: str
    answer: str
    codes: Codes


@dataclass(slots=True)
class SesNotification:
    """Content of one notification."""

    kind: BounceKind
    recipients: list[NotifiedRecipient] = field(default_factory=list)
    message_id: str | None = None
    tracking_id: str | None = None


def read_notification(text: str, tracking_header: str) -> SesNotification | None:
    """Return the notification at the beginning of a text, None if there is none."""
    begin = text[:_MOST_CHARACTERS].strip()
    if not begin.startswith(_BEGINNINGS):
        return None
    try:
        # Long lines are broken on the way, with "!" at the end of each piece.
        value, _ = json.JSONDecoder().raw_decode(begin.replace("!\n ", "").replace("\n", ""))
    except (ValueError, RecursionError):
        return None
    found = _text(value, "notificationType") or _text(value, "eventType")
    kind = _KINDS.get(found.lower().replace(" ", ""))
    if kind is None:
        return None
    headers = dict(_headers(value))
    return SesNotification(
        kind,
        list(_recipients(value, kind))[:_MOST_RECIPIENTS],
        headers.get("message-id"),
        headers.get(tracking_header.lower()),
    )


def _recipients(value: dict[str, Any], kind: BounceKind) -> Iterator[NotifiedRecipient]:
    name, listed = {
        BounceKind.BOUNCE: ("bounce", "bouncedRecipients"),
        BounceKind.COMPLAINT: ("complaint", "complainedRecipients"),
        BounceKind.DELIVERED: ("delivery", "recipients"),
        BounceKind.DELAYED: ("deliveryDelay", "delayedRecipients"),
    }[kind]
    about = value.get(name)
    recipients = about.get(listed) if isinstance(about, dict) else None
    for one in recipients if isinstance(recipients, list) else ():
        fields = one if isinstance(one, dict) else {"emailAddress": one}
        addresses = addresses_in(_text(fields, "emailAddress"))
        if addresses:
            answer = _text(fields, "diagnosticCode").removeprefix("smtp;").strip()
            status = Codes(status_field(_text(fields, "status")))
            yield NotifiedRecipient(
                addresses[0], answer, status.better(codes_in(answer, is_reply=True))
            )


def _headers(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    mail = value.get("mail")
    headers = mail.get("headers") if isinstance(mail, dict) else None
    for one in headers if isinstance(headers, list) else ():
        name, text = _text(one, "name"), _text(one, "value")
        if name and text:
            yield name.lower(), text.strip()[:_MOST_ID]


def _text(value: Any, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found[:_MOST_CHARACTERS] if isinstance(found, str) else ""
