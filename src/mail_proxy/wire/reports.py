"""JSON shapes of report calls to a tenant's application, and of its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from mail_proxy.domain.message import EventType

Json = dict[str, Any]
_LARGEST = 2**53


def report_payload(entries: Sequence[Json]) -> Json:
    """Return the body of one report call."""
    return {"delivery_report": list(entries)}


def report_entry(
    *,
    tenant_id: str,
    id: str,  # noqa: A002 - its name on the wire
    pk: str,
    account_id: str,
    event_type: str,
    event_at: float,
    data: Mapping[str, Any],
) -> Json:
    """Return one event as it is reported; ``event_at`` is in Unix seconds.

    An event type without a shape here is reported as ``<type>_ts`` with its data as stored, so
    that it never blocks the events behind it.
    """
    if shape := _SHAPES.get(event_type):
        fields = shape(event_at, data)
    elif event_type.startswith("pec_"):
        fields = _pec(event_type, event_at, data)
    else:
        fields = {f"{event_type}_ts": int(event_at), **data}
    return {**fields, "tenant_id": tenant_id, "id": id, "pk": pk, "account_id": account_id}


def _sent(event_at: float, data: Mapping[str, Any]) -> Json:
    return {"sent_ts": int(event_at), **_recipients(data)}


def _error(event_at: float, data: Mapping[str, Any]) -> Json:
    told = {"error": data.get("error"), "code": data.get("code")}
    return {"error_ts": int(event_at), **told, **_recipients(data)}


def _deferred(event_at: float, data: Mapping[str, Any]) -> Json:
    return {
        "deferred_ts": int(event_at),
        "retry_ts": _integer(data.get("retry_ts")),
        "deferred_reason": data.get("deferred_reason"),
    }


def _bounce(event_at: float, data: Mapping[str, Any]) -> Json:
    names = ("bounce_type", "bounce_code", "bounce_reason", "bounce_recipient")
    return {"bounce_ts": int(event_at), **{name: data.get(name) for name in names}}


def _pec(event_type: str, event_at: float, data: Mapping[str, Any]) -> Json:
    told = {"pec_event": event_type, "pec_ts": int(event_at)}
    return {**told, "pec_details": dict(data), "recipient": data.get("recipient")}


def _recipients(data: Mapping[str, Any]) -> Json:
    found = data.get("recipients")
    return {} if found is None else {"recipients": found}


_SHAPES: dict[str, Callable[[float, Mapping[str, Any]], Json]] = {
    EventType.SENT: _sent,
    EventType.ERROR: _error,
    EventType.DEFERRED: _deferred,
    "bounce": _bounce,
}


class SyncAnswer(BaseModel):
    """The answer of an application to a report call.

    A field without the documented form counts as missing, so that a mistake in it does not make
    the proxy send reports again. Only ``ok: false`` refuses the reports. Older clients send a
    number as ``error``, which means no ids.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    ok: bool = True
    queued: int = 0
    next_sync_after: float | None = None
    error: tuple[str, ...] = ()
    not_found: tuple[str, ...] = ()

    @field_validator("ok", mode="before")
    @classmethod
    def _not_false(cls, value: Any) -> bool:
        return value is not False

    @field_validator("queued", mode="before")
    @classmethod
    def _count(cls, value: Any) -> int:
        return max(_integer(value) or 0, 0)

    @field_validator("next_sync_after", mode="before")
    @classmethod
    def _instant(cls, value: Any) -> float | None:
        return float(value) if _is_number(value) and value >= 0 else None

    @field_validator("error", "not_found", mode="before")
    @classmethod
    def _ids(cls, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list | tuple):
            return ()
        return tuple(str(v) for v in value if isinstance(v, str) or _is_whole(v))


def read_answer(answer: bytes | Json | None) -> SyncAnswer | None:
    """Read an answer from JSON text or from a callable; None if it is no JSON object.

    A callable that returns None acknowledges the reports.
    """
    try:
        if isinstance(answer, bytes):
            return SyncAnswer.model_validate_json(answer)
        return SyncAnswer.model_validate({} if answer is None else answer)
    except ValidationError:
        return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value)


def _is_number(value: Any) -> bool:
    """Return True for numbers below 2**53; not for bool, NaN and infinity."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -_LARGEST < value < _LARGEST
    )


def _integer(value: Any) -> int | None:
    return int(value) if _is_number(value) else None
