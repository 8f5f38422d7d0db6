"""What became of one delivery attempt, as a value (RFC 5321 section 4.2, RFC 3463)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RecipientStatus(StrEnum):
    """One recipient's fate in one attempt."""

    SENT = "sent"
    DEFERRED = "deferred"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RecipientResult:
    """The server's answer about one envelope recipient.

    ``code`` is the three-digit reply code, None when there was no reply; ``response`` is the
    reply text on one line, at most 500 characters.
    """

    address: str
    status: RecipientStatus
    code: int | None
    response: str


@dataclass(frozen=True, slots=True)
class Sent:
    """The server took responsibility for at least one recipient.

    ``recipients`` tells about every recipient of the attempt, also the refused ones.
    """

    recipients: tuple[RecipientResult, ...]
    code: int
    response: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """Nobody got it; trying again later may help (4xx, time-out, connection lost before DATA)."""

    reason: str
    code: int | None = None
    recipients: tuple[RecipientResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """Nobody got it and nobody will (5xx to the message or to every recipient)."""

    reason: str
    code: int | None = None
    recipients: tuple[RecipientResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Uncertain:
    """The connection ended after the end of DATA and before the answer: it may have arrived."""

    reason: str
    recipients: tuple[RecipientResult, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountTrouble:
    """The account could not be used at all: name, connection, TLS, log-in, too many connections.

    Not the message's fault: it costs the message no attempt. ``stage`` is one of ``dns``,
    ``connect``, ``tls``, ``greeting``, ``ehlo``, ``auth``.
    """

    stage: str
    reason: str
    code: int | None = None


Outcome = Sent | Deferred | Failed | Uncertain | AccountTrouble
