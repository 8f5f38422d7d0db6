"""The life of a message: its states, its priorities, its events."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class MessageState(StrEnum):
    """pending -> sending -> sent | deferred | error; deferred -> sending."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    DEFERRED = "deferred"
    ERROR = "error"


#: States in which a message waits for a dispatcher and may still be replaced or deleted.
WAITING = (MessageState.PENDING, MessageState.DEFERRED)


class Priority(IntEnum):
    """Lower goes first; IMMEDIATE has a pass of its own."""

    IMMEDIATE = 0
    HIGH = 1
    MEDIUM = 2
    LOW = 3


class EventType(StrEnum):
    """What can happen to a message. QUEUED is kept but not reported."""

    QUEUED = "queued"
    SENT = "sent"
    DEFERRED = "deferred"
    ERROR = "error"
