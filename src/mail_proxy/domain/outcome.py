"""Outcomes of delivery attempts, as values (RFC 5321 section 4.2, RFC 3463)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RecipientStatus(StrEnum):
    """Status of one recipient after one attempt."""

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

    ``recipients`` has a result for every recipient of the attempt, also the refused ones.
    """

    recipients: tuple[RecipientResult, ...]
    code: int
    response: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """No recipient was accepted, but a later attempt may succeed.

    The server answered 4xx, or the connection timed out or was lost before the end of DATA.
    """

    reason: str
    code: int | None = None
    recipients: tuple[RecipientResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """No recipient was accepted, and none will be: 5xx to the message or to each."""

    reason: str
    code: int | None = None
    recipients: tuple[RecipientResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Uncertain:
    """The connection ended between the end of DATA and its reply.

    The server may or may not have taken the message.
    """

    reason: str
    recipients: tuple[RecipientResult, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountTrouble:
    """The account could not be used: DNS, connection, TLS, login or their limits.

    The message is not at fault, so it costs the message no attempt. ``stage`` is one of ``dns``,
    ``connect``, ``tls``, ``greeting``, ``ehlo``, ``auth``. ``others_work``: the server refused one
    more session while others of the account were open.
    """

    stage: str
    reason: str
    code: int | None = None
    others_work: bool = False

    @property
    def refuses_login(self) -> bool:
        """True if the server refused name and password for good."""
        return self.stage == "auth" and (self.code or 0) >= 500


Outcome = Sent | Deferred | Failed | Uncertain | AccountTrouble
