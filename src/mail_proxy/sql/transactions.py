"""Transactions: connections, and BEGIN and COMMIT around the work on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from sqlalchemy import Connection, Engine


class Transactions(Protocol):
    """Source of transactions of one kind, for any number of threads."""

    def begin(self) -> AbstractContextManager[Connection]:
        """Run the block in a transaction; commit at its end, roll back after an error.

        Waits for a free connection; raises SQLAlchemy's TimeoutError if none becomes free.
        """
        ...

    def close(self) -> None:
        """Close every connection. No transaction may run any more."""
        ...


class PooledTransactions:
    """Transactions on the connections of SQLAlchemy's pool."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        with self._engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        self._engine.dispose()
