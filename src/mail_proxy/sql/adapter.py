"""Interface of the database adapters, with what both of them use."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, exc
from sqlalchemy.engine import URL, make_url

from mail_proxy.errors import ConfigError, DatabaseUnavailable
from mail_proxy.sql.transactions import Transactions

#: Name and PostgreSQL type of each column of a list of rows.
Shape = Sequence[tuple[str, str]]
#: Called with how much is done, and how much there is.
Progress = Callable[[int, int], None]
#: Longest wait for a lock. No transaction of the proxy holds one for so long, except a migration.
#: One of another program may, and so may a process that was stopped in the middle of one.
LOCK_SECONDS = 10.0
#: Octets of a large text that are read at once, for a millisecond of the interpreter lock.
READ_BYTES = 1_000_000
_COLUMN_OF_ROWS = re.compile(r"\brows\.(\w+)")


class Adapter(Protocol):
    """Adapter of a database product.

    ``writers`` and ``readers`` are the numbers of transactions of each kind that may run at once.
    ``has_notify``: several hosts may share the database, and notify each other.
    """

    name: str
    has_notify: bool
    writers: int
    readers: int
    #: True if there was no database file, so that an empty one was made.
    is_new: bool
    #: Where the data is, if it is on a disk of this machine's.
    folder: Path | None
    #: File or URL of the database, for people: without password and options.
    place: str

    def transactions(self) -> tuple[Transactions, Transactions]:
        """Return the transactions that write, and those that read."""
        ...

    def writing_turn(self) -> AbstractContextManager[None]:
        """Take turns with other processes of this machine around a writing transaction."""
        ...

    def execute(
        self, connection: Connection, statement: str, parameters: Sequence[Any]
    ) -> list[Any]:
        """Run a statement in the way that costs least; return the rows that it gives."""
        ...

    def rows(self, shape: Shape, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
        """Yield common table expressions ``rows(...)`` over the rows, with parameters.

        One statement over many rows makes both databases fast, and releases the interpreter lock
        once instead of once for each row.
        """
        ...

    def insert_rows(
        self, connection: Connection, table: str, shape: Shape, rows: Sequence[Sequence[Any]]
    ) -> None:
        """Insert rows into a table."""
        ...

    def insert_large(
        self,
        connection: Connection,
        table: str,
        shape: Shape,
        row: Sequence[Any],
        pieces: Sequence[bytes | bytearray],
    ) -> None:
        """Insert a row whose last column is a text, given as pieces of UTF-8."""
        ...

    def read_large(self, connection: Connection, table: str, column: str, pk: str) -> bytearray:
        """Return the UTF-8 of a text, read in pieces; empty if there is no such row."""
        ...

    def change_rows(
        self, connection: Connection, statement: str, shape: Shape, rows: Sequence[Sequence[Any]]
    ) -> set[Any]:
        """Run an INSERT or UPDATE for many rows, as ``SqlDb.change_rows`` describes."""
        ...

    def first_of_each(
        self, table: str, where: str, order_by: str, limit: int, *, waits: bool = False
    ) -> str:
        """Return a FROM clause: for each of ``rows`` the first ``limit`` of ``table``.

        The rows are locked. In ``where`` and ``order_by`` a row of the table is ``candidate``. Rows
        that another transaction has locked are skipped; with ``waits`` they are waited for.
        ``table`` must have the key ``pk``.
        """
        ...

    def trouble(self, error: exc.DBAPIError) -> DatabaseUnavailable | None:
        """Return an error if connection, disk or a lock is the cause, not the statement."""
        ...

    def prove_writable(self, connection: Connection) -> None:
        """Write a few bytes without a meaning, and take the locks that every write needs."""
        ...

    def is_retryable(self, error: exc.DBAPIError) -> bool:
        """Return whether the whole transaction should run again at once."""
        ...

    def notify(self, connection: Connection, text: str) -> None:
        """Send NOTIFY to every listener at the commit. Only with ``has_notify``."""
        ...

    def listen(self) -> AsyncIterator[str]:
        """Yield notifications from now on, over a connection of its own.

        Only with ``has_notify``. Raises DatabaseUnavailable when the connection is lost.
        """
        ...

    def server_time(self, connection: Connection) -> float | None:
        """Return the clock of the database server, Unix seconds; None on this machine."""
        ...

    def find_damage(self, connection: Connection) -> str | None:
        """Return the first damage of the file, or None; a file of gigabytes is not read."""
        ...

    def dump(self, file: Path, progress: Progress) -> None:
        """Write one consistent state of the database to a new file, while others use it.

        Raises DatabaseUnavailable.
        """
        ...

    def load(self, file: Path) -> None:
        """Fill this database, which must be empty, from a file that ``dump`` wrote.

        Raises Conflict if it is not empty, else DatabaseUnavailable.
        """
        ...

    def lock_schema(self, connection: Connection) -> None:
        """Lock out other processes that migrate, until the transaction ends."""
        ...


def parsed_url(url: str) -> URL:
    try:
        return make_url(url)
    except (exc.ArgumentError, ValueError):
        # The URL is not shown: there may be a password in it.
        raise ConfigError(
            "db_path: not a URL; allowed: postgresql://user:password@host:port/database, with %40 "
            "for @, %2F for / and %3A for : in the password"
        ) from None


def first_line(error: exc.DBAPIError) -> str:
    return next(iter(str(error.orig).strip().splitlines()), "database error")


@lru_cache(maxsize=256)
def for_one_row(statement: str, shape: tuple[tuple[str, str], ...], mark: str) -> str:
    """Replace the columns of ``rows`` in a statement by the parameters for one row.

    ``mark`` is the form of a parameter, with ``{name}``, ``{kind}`` or ``{number}`` of its column.
    """
    marks = {
        name: mark.format(name=name, kind=kind, number=number)
        for number, (name, kind) in enumerate(shape, start=1)
    }
    without = statement.replace(" FROM rows ", " ")
    return _COLUMN_OF_ROWS.sub(lambda found: marks[found[1]], without)
