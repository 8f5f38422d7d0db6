"""Conditions on rows of messages and events, for indexes and statements alike.

SQLite uses a partial index only if a statement repeats its condition word for word.
"""

from __future__ import annotations

from mail_proxy.domain.events import KINDS
from mail_proxy.domain.message import WAITING

WAITING_STATES = ", ".join(f"'{state}'" for state in WAITING)


def waiting(row: str = "message") -> str:
    """Condition: the message waits for a dispatcher, held back or not.

    ``row`` is the name of the message's row in the statement.
    """
    return f"{row}.state IN ({WAITING_STATES})"


def ready(row: str = "message") -> str:
    """Condition: the message waits and is not held, so a claim may take it when due.

    A message whose batch was suspended a moment ago is still ready; the claim leaves it out.
    """
    return f"{waiting(row)} AND NOT {row}.held"


def ready_of_batch(row: str = "message") -> str:
    """Condition: the message is ready and belongs to a batch."""
    return f"{ready(row)} AND {row}.batch_code IS NOT NULL"


def urgent(row: str = "message") -> str:
    """Condition: the message is ready and of priority 0."""
    return f"{ready(row)} AND {row}.priority = 0"


def later(row: str = "message") -> str:
    """Condition: the message is ready, and was scheduled or deferred."""
    return f"{ready(row)} AND ({row}.state = 'deferred' OR {row}.due_at > {row}.created_at)"


def held(row: str = "message") -> str:
    """Condition: the message is held back because its batch is suspended."""
    return f"{row}.held"


def sending(row: str = "message") -> str:
    """Condition: a dispatcher has claimed the message."""
    return f"{row}.state = 'sending'"


def unfinished(row: str = "message") -> str:
    """Condition: the message waits or is being sent."""
    return f"{row}.state IN ({WAITING_STATES}, 'sending')"


#: Events that are reported at all.
IS_REPORT = " AND ".join(f"event_type <> '{kind.name}'" for kind in KINDS if not kind.reported)
UNREPORTED = f"reported_at IS NULL AND {IS_REPORT}"
#: Two indexes, so that finding what is new does not depend on how much was put off.
FRESH = f"{UNREPORTED} AND report_after IS NULL"
PUT_OFF = f"{UNREPORTED} AND report_after IS NOT NULL"
REPORTED = "reported_at IS NOT NULL"
