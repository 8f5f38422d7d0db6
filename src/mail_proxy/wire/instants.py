"""Times on the wire: Unix seconds, or ISO 8601 with a zone."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

#: The last second of the year 9999.
_LATEST = 253_402_300_799
#: The plus sign before a zone in the query of a URL means a blank.
_BLANK_BEFORE_ZONE = re.compile(r"(:\d\d(?:\.\d{1,9})?) (\d\d:?\d\d)$")
_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{0,30})?")
_ALLOWED = "Unix seconds, or ISO 8601 with a zone such as 2026-11-27T10:00:00Z"
_SMALLER_UNITS = (
    ("milliseconds", 1000),
    ("microseconds", 1_000_000),
    ("nanoseconds", 1_000_000_000),
)


def instant(value: Any) -> float:
    """Return a time in Unix seconds; raises ValueError that says what is allowed."""
    if isinstance(value, str):
        text = value.strip()
        return _bounded(float(text) if _NUMBER.fullmatch(text) else _of_iso(text))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a time: {_ALLOWED}")
    return _bounded(value)


def _bounded(seconds: float) -> float:
    if 0 <= seconds <= _LATEST:
        return float(seconds)
    for unit, parts in _SMALLER_UNITS:
        if _LATEST < seconds <= _LATEST * parts:
            raise ValueError(f"{unit}? Give {_ALLOWED}")
    raise ValueError(f"must be a time between 1970 and 9999: {_ALLOWED}")


def _of_iso(text: str) -> float:
    try:
        found = datetime.fromisoformat(_BLANK_BEFORE_ZONE.sub(r"\1+\2", text))
    except ValueError:
        raise ValueError(f"is not a time: {_ALLOWED}") from None
    if found.tzinfo is None:
        raise ValueError(f"has no zone: give {_ALLOWED}")
    return found.timestamp()


Timestamp = Annotated[
    float,
    BeforeValidator(instant),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": _LATEST},
                {"type": "string", "format": "date-time"},
            ]
        }
    ),
]
