"""Rules for a tenant's next call: back-off, do-not-disturb, idle calls.

The functions are pure; they read and change a row of ``tenant_sync``. All instants are Unix
seconds. ``chance`` is a random number from 0 to 1.
"""

from __future__ import annotations

from typing import Any

from mail_proxy.wire.reports import SyncAnswer

_FIRST_FAILURE_SECONDS = 5.0
_FIRST_IDLE_SECONDS = 1.0
_FIRST_PUT_OFF_SECONDS = 60.0
_LONGEST_RETRY_AFTER = 3600.0
_LONGEST_QUIET_SECONDS = 365 * 86_400.0
#: Delays are shortened by up to this part. So tenants that failed or started together are not
#: called together, and no delay exceeds the documented one.
_SPREAD = 0.1

Row = dict[str, Any]


def is_due(sync: Row, now: float, events: bool, active: bool) -> bool:
    """Return whether the tenant is due for a call now, with or without ``events``.

    Do-not-disturb and ``active`` false hold back empty calls only. A back-off holds back all.
    """
    time_has_come = bool(sync["next_due_at"] <= now)
    if events:
        return time_has_come or sync["failures"] == 0
    return active and time_has_come and (sync["quiet_until"] or 0) <= now


def after_answer(sync: Row, answer: SyncAnswer, now: float, interval: float, chance: float) -> Row:
    """Return the changes of the row after a call that acknowledged its reports.

    An answer without ``next_sync_after`` leaves an earlier do-not-disturb as it is.
    """
    changes: Row = {"last_sync_at": now, "last_error": None, "failures": 0}
    if answer.next_sync_after is not None:
        changes["quiet_until"] = min(answer.next_sync_after, now + _LONGEST_QUIET_SECONDS)
    if answer.queued:
        changes["idle_calls"] = sync["idle_calls"] + 1
        changes["next_due_at"] = now + _idle_seconds(changes["idle_calls"], interval)
    else:
        changes["idle_calls"] = 0
        changes["next_due_at"] = now + interval * (1 - _SPREAD * chance)
    return changes


def after_failure(
    sync: Row, reason: str, now: float, interval: float, chance: float, retry_after: float = 0
) -> Row:
    """Return the changes of the row after a failed call, with the next back-off."""
    failures = sync["failures"] + 1
    delay = _growing(_FIRST_FAILURE_SECONDS, failures, interval) * (1 - _SPREAD * chance)
    delay = max(delay, min(retry_after, _LONGEST_RETRY_AFTER))
    return {"last_error": reason, "failures": failures, "next_due_at": now + delay}


def put_off_seconds(attempts: int, interval: float) -> float:
    """Return the delay of an event that the application refused, in seconds.

    One minute, doubled with each of the earlier ``attempts``, up to the sync interval.
    """
    return _growing(_FIRST_PUT_OFF_SECONDS, attempts + 1, interval)


def _idle_seconds(idle_calls: int, interval: float) -> float:
    """Return the delay of the next call after announcements without messages.

    The first announcement leads to a call at once, the next ones to calls in 1, 2, 4 ... seconds.
    """
    return 0.0 if idle_calls <= 1 else _growing(_FIRST_IDLE_SECONDS, idle_calls - 1, interval)


def _growing(first: float, times: int, most: float) -> float:
    return float(min(first * 2 ** min(times - 1, 40), most))
