"""Column types that both databases understand in the same way."""

from __future__ import annotations

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


#: Unix seconds, UTC, with fractions.
Instant = Double
