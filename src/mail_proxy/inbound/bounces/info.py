"""Values that the bounce parser returns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BounceKind(StrEnum):
    """Kind of a mail that came back.

    ``NONE`` is everything else: mail of a person, read receipts (RFC 8098), PEC receipts, reports
    that are no complaint.
    """

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    AUTO_REPLY = "auto_reply"
    DELIVERED = "delivered"
    DELAYED = "delayed"
    NONE = "none"


class BounceType(StrEnum):
    """Permanence of a failure: ``HARD`` for 5.x.x and 5xx, ``SOFT`` for 4.x.x and 4xx."""

    HARD = "hard"
    SOFT = "soft"


class BounceCategory(StrEnum):
    """Cause of a failure."""

    UNKNOWN_USER = "unknown_user"
    UNKNOWN_HOST = "unknown_host"
    MAILBOX_FULL = "mailbox_full"
    POLICY = "policy"
    SPAM = "spam"
    SIZE = "size"
    NETWORK = "network"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class BouncedRecipient:
    """One recipient that a report names.

    ``code`` is the enhanced status code (``5.1.1``, RFC 3463), else the reply code (``550``), else
    None. ``type``, ``code`` and ``category`` are None for a delivery and for a complaint.
    ``reason`` is one line of at most 500 characters.
    """

    address: str
    type: BounceType | None = None
    code: str | None = None
    category: BounceCategory | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BounceInfo:
    """Content of one mail that came back.

    ``message_id`` and ``tracking_id`` are those of the returned message, ``envelope_id`` is its
    ENVID (RFC 3461). ``feedback_type`` is that of a feedback report, also of those that are no
    complaint (``not-spam``). ``delivered_to`` has the addresses to which the mail itself was sent:
    a token in one of them names the message (VERP).
    """

    kind: BounceKind
    recipients: tuple[BouncedRecipient, ...] = ()
    message_id: str | None = None
    tracking_id: str | None = None
    envelope_id: str | None = None
    feedback_type: str | None = None
    delivered_to: tuple[str, ...] = ()
