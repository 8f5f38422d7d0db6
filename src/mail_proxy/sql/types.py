"""Column types that both databases understand in the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Dialect, Double, Text, Uuid
from sqlalchemy.types import TypeDecorator, TypeEngine


class Json(TypeDecorator[Any]):
    """Any JSON value, as text. It is read whole and never searched by its inside."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else orjson.loads(value)


class Sealed(TypeDecorator[str]):
    """Text that is encrypted at rest; ``Table`` seals it, bound to its table, column and row.

    The type itself refuses clear text, so that a statement that goes past ``Table`` cannot
    write a secret.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is not None and not value.startswith("ENC:"):
            raise ValueError("a sealed column takes sealed values only; write through Table")
        return value


class Pk(TypeDecorator[str]):
    """UUID as 36-character text in Python; native where the database has the type."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Uuid(as_uuid=False))
        return dialect.type_descriptor(Text())


class Instant(Double[float]):
    """Unix seconds, UTC, with fractions.

    Each column of this type declares in its ``info`` what becomes of an instant that lies in the
    future because the wall clock was set back: ``AFTER_CLOCK_SET_BACK`` is the key.
    """


@dataclass(frozen=True)
class AtMost:
    """Bring the instant back to so many seconds from now; None: the setting ``sync_interval``."""

    seconds: float | None


AFTER_CLOCK_SET_BACK = "after the clock was set back"
#: Of the past: it is shown, and nothing waits for it.
RECORD_ONLY = {AFTER_CLOCK_SET_BACK: "record only"}
#: A client or an application named this time, and not a delay.
AS_NAMED = {AFTER_CLOCK_SET_BACK: "left as named"}
#: ``ClockRepair`` has a statement of its own for it.
BY_STATEMENT = {AFTER_CLOCK_SET_BACK: "own statement"}


def at_most(seconds: float | None) -> dict[str, AtMost]:
    """Return the ``info`` of a column with a longest wait."""
    return {AFTER_CLOCK_SET_BACK: AtMost(seconds)}
