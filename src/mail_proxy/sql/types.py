"""Column types that both databases understand in the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import BigInteger, Dialect, Double, Integer, Text, Uuid
from sqlalchemy.types import TypeDecorator, TypeEngine


class Json(TypeDecorator[Any]):
    """JSON value, stored as text. It is read as a whole, and no query searches in it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else orjson.loads(value)


class Sealed(TypeDecorator[str]):
    """Text that is encrypted at rest, bound to its table, column and row.

    ``Table`` encrypts it. The type itself refuses clear text, so that a statement that bypasses
    ``Table`` cannot write a secret.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is not None and not value.startswith("ENC:"):
            raise ValueError("a sealed column takes sealed values only; write through Table")
        return value


class Pk(TypeDecorator[str]):
    """UUID, in Python as text of 36 characters. PostgreSQL stores it as its own type."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Uuid(as_uuid=False))
        return dialect.type_descriptor(Text())


#: SQLite generates numbers only in a column whose type is exactly INTEGER.
Serial = BigInteger().with_variant(Integer(), "sqlite")


class Instant(Double[float]):
    """Unix seconds, UTC, with fractions.

    Each column of this type declares in its ``info``, under ``AFTER_CLOCK_SET_BACK``, how an
    instant is repaired that lies in the future because the wall clock was set back.
    """


@dataclass(frozen=True)
class AtMost:
    """Repair rule: the instant is at most ``seconds`` from now.

    None stands for the setting ``sync_interval``.
    """

    seconds: float | None


AFTER_CLOCK_SET_BACK = "after the clock was set back"
#: The instant is past and only shown: nothing waits for it.
RECORD_ONLY = {AFTER_CLOCK_SET_BACK: "record only"}
#: A client or an application named this time, not a delay, so it is left alone.
AS_NAMED = {AFTER_CLOCK_SET_BACK: "left as named"}
#: ``ClockRepair`` has a statement of its own for the column.
BY_STATEMENT = {AFTER_CLOCK_SET_BACK: "own statement"}


def at_most(seconds: float | None) -> dict[str, AtMost]:
    """Return the ``info`` of a column with a longest wait (``AtMost``)."""
    return {AFTER_CLOCK_SET_BACK: AtMost(seconds)}
