"""Statements that SQLAlchemy compiles once for all tests.

Each test opens a database of its own, so each would compile the statements of the whole service
again: a third of the processor time of a start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.util import LRUCache

#: Above the number of the program's statements, on both databases.
_MOST_STATEMENTS = 2000


class CompiledStatements:
    """A cache that every connection uses while ``shared`` is entered.

    For databases with one schema: a compiled statement knows the columns of its first result.
    """

    def __init__(self) -> None:
        self._cache: LRUCache[Any, Any] = LRUCache(_MOST_STATEMENTS)
        # A dialect is part of the key, and each engine has its own. Those of a class, with one
        # server behind them, compile alike.
        for dialect in (SQLiteDialect_pysqlite, PGDialect_psycopg):
            dialect.__eq__ = _is_alike  # type: ignore[method-assign]
            dialect.__hash__ = _class_hash  # type: ignore[method-assign]

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Let connections use the cache that are opened inside the block."""
        event.listen(Engine, "engine_connect", self._give)
        yield
        event.remove(Engine, "engine_connect", self._give)

    def _give(self, connection: Connection) -> None:
        connection.execution_options(compiled_cache=self._cache)


def _is_alike(this: Dialect, other: object) -> bool:
    return type(this) is type(other)


def _class_hash(dialect: Dialect) -> int:
    return hash(type(dialect))
