"""JSON shapes of report calls to a tenant's application, and of its answers."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator
from pydantic_core import from_json

from mail_proxy.domain.events import is_number, kind_of, plain_shape, whole_number
from mail_proxy.wire.mistakes import without_surrogates

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
    the proxy send reports again. ``ok: false`` refuses the reports, and so does an ``error`` that
    is a text or an object. Older clients send a number as ``error``, which means no ids.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    ok: bool = True
    queued: int = 0
    next_sync_after: float | None = None
    error: tuple[str, ...] = ()
    not_found: tuple[str, ...] = ()
    #: Why the call failed, in the proxy's words; None if the application took it.
    failure: str | None = None

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
        ids = (str(v) for v in value if isinstance(v, str) or _is_whole(v))
        return tuple(without_surrogates(id_) for id_ in ids)


def read_answer(answer: bytes | Json | None) -> SyncAnswer | None:
    """Read an answer from JSON text or from a callable; None if it is no JSON object.

    A callable that returns None acknowledges the reports. In a JSON-RPC envelope ``result`` is the
    answer, and ``error`` a failure.
    """
    record = _parsed(answer) if isinstance(answer, bytes) else {} if answer is None else answer
    if not isinstance(record, dict):
        return None
    if "jsonrpc" in record or ("result" in record and "ok" not in record):
        if record.get("error") is not None:
            return SyncAnswer(failure="the application answered a JSON-RPC error")
        record = record.get("result")
        if not isinstance(record, dict):
            return None
    found = SyncAnswer.model_validate({k: v for k, v in record.items() if k != "failure"})
    error = record.get("error")
    if error is True or (error and isinstance(error, str | dict)):
        return found.model_copy(update={"failure": "the application answered with an error"})
    if not found.ok:
        return found.model_copy(update={"failure": "the application answered ok: false"})
    return found


def _parsed(text: bytes) -> Any:
    """Read JSON, with or without a byte order mark; None if it is no JSON.

    Lone surrogates and octets that are not UTF-8 stay in the texts that have them: one bad text
    must not make the proxy send all reports again.
    """
    text = text.removeprefix(BOM_UTF8)
    try:
        return from_json(text)
    except ValueError:
        pass
    try:
        return json.loads(text.decode(errors="surrogateescape"))
    except (ValueError, RecursionError):
        return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and is_number(value)
