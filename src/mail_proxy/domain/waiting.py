"""Reasons why an unfinished message waits, by the state of tenant and account."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from mail_proxy.domain.message import MessageState
from mail_proxy.domain.tenant import EVERYTHING


class WaitReason(StrEnum):
    """Reason why an unfinished message has not been sent yet."""

    IN_FLIGHT = "in_flight"
    TENANT_INACTIVE = "tenant_inactive"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    ACCOUNT_PAUSED = "account_paused"
    RETRY = "retry"
    SCHEDULED = "scheduled"
    RATE_LIMIT = "rate_limit"
    QUEUE = "queue"


MEANINGS = {
    WaitReason.IN_FLIGHT: "a dispatcher is sending it",
    WaitReason.TENANT_INACTIVE: "its tenant is inactive",
    WaitReason.STOPPED: "no dispatcher runs (scheduler_active)",
    WaitReason.SUSPENDED: "its tenant or batch is suspended; `detail` is the batch code, or *",
    WaitReason.ACCOUNT_PAUSED: "its account is in trouble; `detail` is the server's reason",
    WaitReason.RETRY: "an attempt failed temporarily; `detail` is the reason",
    WaitReason.SCHEDULED: "it was handed in for a later time",
    WaitReason.RATE_LIMIT: "a rate limit of its account or tenant is used up",
    WaitReason.QUEUE: "its turn has not come",
}


@dataclass(frozen=True, slots=True)
class Wait:
    """Reason of a message's wait, with its end (Unix seconds) where that is known."""

    reason: WaitReason
    until: float | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Pause of an account in trouble: until then (Unix seconds), because of ``error``."""

    until: float
    error: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """State of tenant and account that decides whether their messages may be sent.

    ``suspended`` are batch codes, or ``*``. ``limited_until`` is the first time at which the rate
    limits admit a message again, None if they do now. ``dispatching`` is False if no dispatcher
    runs.
    """

    active: bool
    dispatching: bool
    suspended: Collection[str] = ()
    pause: Pause | None = None
    limited_until: float | None = None


def why_waiting(
    state: str,
    due_at: float,
    batch_code: str | None,
    error: str | None,
    around: Surroundings,
    now: float,
) -> Wait:
    """Return why an unfinished message waits at the time ``now``.

    If several reasons hold, the first in this order is returned: in flight, inactive tenant, no
    dispatcher, suspension, paused account, the message's own time, rate limit.
    """
    if state == MessageState.SENDING:
        return Wait(WaitReason.IN_FLIGHT)
    if not around.active:
        return Wait(WaitReason.TENANT_INACTIVE)
    if not around.dispatching:
        return Wait(WaitReason.STOPPED)
    for code in (EVERYTHING, batch_code):
        if code in around.suspended:
            return Wait(WaitReason.SUSPENDED, detail=code)
    pause = around.pause
    if pause is not None and due_at <= max(pause.until, now):
        return Wait(WaitReason.ACCOUNT_PAUSED, max(pause.until, now), pause.error)
    if due_at > now:
        if state == MessageState.DEFERRED:
            return Wait(WaitReason.RETRY, due_at, error)
        return Wait(WaitReason.SCHEDULED, due_at)
    if around.limited_until is not None:
        return Wait(WaitReason.RATE_LIMIT, around.limited_until)
    return Wait(WaitReason.QUEUE)
