"""Kinds of events that happen to messages, and how each kind is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mail_proxy.domain.message import EventType

Json = dict[str, Any]
#: Fields of a report, from the type and instant (Unix seconds) of an event and its stored data.
Shape = Callable[[str, float, Mapping[str, Any]], Json]
#: Above this, JSON numbers of some applications lose digits.
_LARGEST = 2**53


@dataclass(frozen=True)
class EventKind:
    """One kind of event: its name in ``event_type``, whether and how it is reported.

    ``is_prefix``: the kind stands for every type whose name begins with ``name``. ``counter`` is
    the hourly counter of its events.
    """

    name: str
    meaning: str
    shape: Shape
    reported: bool = True
    is_prefix: bool = False
    counter: str | None = None


def kind_of(event_type: str) -> EventKind | None:
    """Return the kind of an event; None for a type that this version does not know."""
    for kind in KINDS:
        if event_type == kind.name or (kind.is_prefix and event_type.startswith(kind.name)):
            return kind
    return None


def plain_shape(event_type: str, event_at: float, data: Mapping[str, Any]) -> Json:
    """Return ``<type>_ts`` and the stored data as they are."""
    return {f"{event_type}_ts": int(event_at), **data}


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number that allows exact arithmetic.

    False for booleans, NaN, infinity and numbers that are too large.
    """
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -_LARGEST < value < _LARGEST
    )


def whole_number(value: Any) -> int | None:
    """Return a number without its fraction; None for everything that is no number."""
    return int(value) if is_number(value) else None


def _sent(event_type: str, event_at: float, data: Mapping[str, Any]) -> Json:
    return {"sent_ts": int(event_at), **_recipients(data)}


def _error(event_type: str, event_at: float, data: Mapping[str, Any]) -> Json:
    reason = {"error": data.get("error"), "code": data.get("code")}
    return {"error_ts": int(event_at), **reason, **_recipients(data)}


def _deferred(event_type: str, event_at: float, data: Mapping[str, Any]) -> Json:
    return {
        "deferred_ts": int(event_at),
        "retry_ts": whole_number(data.get("retry_ts")),
        "deferred_reason": data.get("deferred_reason"),
    }


def _bounce(event_type: str, event_at: float, data: Mapping[str, Any]) -> Json:
    names = ("type", "code", "reason", "recipient", "category")
    found = {f"bounce_{name}": data.get(f"bounce_{name}") for name in names}
    return {"bounce_ts": int(event_at), **found}


def _pec(event_type: str, event_at: float, data: Mapping[str, Any]) -> Json:
    receipt = {"pec_event": event_type, "pec_ts": int(event_at)}
    return {**receipt, "pec_details": dict(data), "recipient": data.get("recipient")}


def _recipients(data: Mapping[str, Any]) -> Json:
    found = data.get("recipients")
    return {} if found is None else {"recipients": found}


#: The partial indexes of ``message_event`` exclude the kinds that are not reported: another one
#: needs a migration.
KINDS = (
    EventKind(EventType.QUEUED, "the message was queued", plain_shape, reported=False),
    EventKind(EventType.SENT, "a mail server accepted the message", _sent, counter="sent"),
    EventKind(EventType.DEFERRED, "the message will be retried", _deferred, counter="deferred"),
    EventKind(EventType.ERROR, "the message was given up", _error, counter="error"),
    EventKind("bounce", "the message came back", _bounce, counter="bounced"),
    EventKind(
        "complaint", "a recipient called the message spam", plain_shape, counter="complained"
    ),
    EventKind("unsubscribe", "a recipient unsubscribed on the hosted page", plain_shape),
    EventKind("reply", "a person answered the message", plain_shape),
    EventKind("pec_", "a receipt of certified mail arrived", _pec, is_prefix=True),
)
