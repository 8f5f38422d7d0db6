"""States, priorities and event types of messages."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class MessageState(StrEnum):
    """States of a message: pending -> sending -> sent, deferred or error.

    A deferred message is claimed again: deferred -> sending.
    """

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    DEFERRED = "deferred"
    ERROR = "error"


#: States in which a message waits for a dispatcher and may still be replaced or deleted.
WAITING = (MessageState.PENDING, MessageState.DEFERRED)


class Priority(IntEnum):
    """Priorities of messages: lower numbers are sent first."""

    IMMEDIATE = 0
    HIGH = 1
    MEDIUM = 2
    LOW = 3


#: Priorities by their names in requests and settings.
PRIORITIES = {priority.name.lower(): priority.value for priority in Priority}


class EventType(StrEnum):
    """Types of message events.

    QUEUED is not reported. It is stored for a retry and a replacement only: a message was taken in
    at its ``created_at``.
    """

    QUEUED = "queued"
    SENT = "sent"
    DEFERRED = "deferred"
    ERROR = "error"
