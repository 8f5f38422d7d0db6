"""JSON shapes of report calls to a tenant's application, and of its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from mail_proxy.domain.events import is_number, kind_of, plain_shape, whole_number

Json = dict[str, Any]
#: Header of every report call. Without an admin token, the API trusts callers on loopback, and a
#: tenant's URL may lead there: a call with this header is the proxy's own, not its user's.
OWN_CALL_HEADER = "X-Mail-Proxy-Call"


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

    An event of an unknown kind is reported as ``<type>_ts`` with its data as stored, so
    that it never blocks the events behind it.
    """
    kind = kind_of(event_type)
    fields = (kind.shape if kind else plain_shape)(event_type, event_at, data)
    return {**fields, "tenant_id": tenant_id, "id": id, "pk": pk, "account_id": account_id}


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
        return max(whole_number(value) or 0, 0)

    @field_validator("next_sync_after", mode="before")
    @classmethod
    def _instant(cls, value: Any) -> float | None:
        return float(value) if is_number(value) and value >= 0 else None

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
    return isinstance(value, int) and is_number(value)
