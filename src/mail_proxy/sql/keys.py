"""Which encryption key a database was written with, and putting another one in its place.

The row ``instance`` holds a known text that is sealed like every secret. Whoever writes a secret
locks that row and proves first that its key opens the text: a process that missed a rotation must
not leave values behind that nobody can open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from sqlalchemy import Column, Connection, Table, inspect, or_, select

from mail_proxy.encryption import decrypt_value_with_key, encrypt_value_with_key
from mail_proxy.errors import EncryptionError, EncryptionKeyChanged
from mail_proxy.sql import schema
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.types import Sealed

KEY_CHECK = "mail-proxy"
_ROWS_AT_ONCE = 500
_MOST_NAMED = 5

#: Called with the number of values that are done, and of all.
Progress = Callable[[int, int], None]


def context_of(table: str, column: str, identity: Iterable[Any]) -> str:
    """What a sealed value is bound to, so that it opens nowhere else."""
    return f"{table}.{column}:{'/'.join(str(part) for part in identity)}"


def open_value(value: str, key: bytes, table: str, column: str, identity: Iterable[Any]) -> str:
    """The secret in one place of the database; EncryptionError names the place."""
    identity = list(identity)
    try:
        return decrypt_value_with_key(value, key, context_of(table, column, identity))
    except EncryptionError as error:
        row = "/".join(str(part) for part in identity)
        raise EncryptionError(f"{table}.{column} of row {row}: {error}") from None


def fits(connection: Connection, key: bytes, *, lock: bool = False) -> bool | None:
    """Whether the database was written with this key; None: with none so far."""
    statement = select(schema.instance.c.key_check)
    sealed = connection.execute(statement.with_for_update() if lock else statement).scalar()
    if sealed is None:
        return None
    try:
        return open_value(sealed, key, "instance", "key_check", [1]) == KEY_CHECK
    except EncryptionError:
        return False


def prove_key(connection: Connection, key: bytes, *, lock: bool = False) -> None:
    """Raises EncryptionKeyChanged for a key that is not the database's any more.

    With ``lock`` it also stays the database's until the transaction ends.
    """
    if fits(connection, key, lock=lock) is False:
        raise EncryptionKeyChanged(
            "the encryption key of the database was replaced while this process was running; "
            "restart it with the new key"
        )


def reencrypt(connection: Connection, db: SqlDb, old: bytes, new: bytes, progress: Progress) -> int:
    """Seal every secret of the database with another key; returns how many there were.

    Raises EncryptionError, and names the places, when some cannot be opened.
    """
    prove_key(connection, old, lock=True)
    _refuse_unknown_tables(connection)
    tables = [(table, sealed) for table in schema.metadata.sorted_tables if (sealed := _of(table))]
    found = {table.name: _read(connection, table, sealed) for table, sealed in tables}
    total = sum(_values(rows) for rows in found.values())
    done, damaged = 0, list[str]()
    for table, sealed in tables:
        rows = iter(found[table.name])
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            renewed = [_renewed(table, sealed, row, old, new, damaged) for row in some]
            if not damaged:
                _write(connection, db, table, sealed, renewed)
            done += _values(some)
            progress(done, total)
    if damaged:
        more = f" and {len(damaged) - _MOST_NAMED} more" if len(damaged) > _MOST_NAMED else ""
        places = "; ".join(damaged[:_MOST_NAMED])
        raise EncryptionError(f"nothing was changed, save these anew first: {places}{more}")
    return total


Values = list[tuple[list[Any], list[str | None]]]


def _refuse_unknown_tables(connection: Connection) -> None:
    """Secrets in a table that the program does not know would be lost with the old key."""
    known = {*schema.metadata.tables, "alembic_version"}
    unknown = set(inspect(connection).get_table_names()) - known
    if unknown:
        raise EncryptionError(f"unknown tables in the database: {', '.join(sorted(unknown))}")


def _of(table: Table) -> list[Column[Any]]:
    return [column for column in table.columns if isinstance(column.type, Sealed)]


def _read(connection: Connection, table: Table, sealed: list[Column[Any]]) -> Values:
    identity = list(table.primary_key.columns)
    statement = select(*identity, *sealed).where(or_(*(c.is_not(None) for c in sealed)))
    rows = connection.execute(statement.with_for_update())
    return [(list(row[: len(identity)]), list(row[len(identity) :])) for row in rows]


def _values(rows: Values) -> int:
    return sum(value is not None for _, values in rows for value in values)


def _renewed(
    table: Table,
    sealed: list[Column[Any]],
    row: tuple[list[Any], list[str | None]],
    old: bytes,
    new: bytes,
    damaged: list[str],
) -> list[Any]:
    identity, values = row

    def renew() -> Iterator[str | None]:
        for column, value in zip(sealed, values, strict=True):
            if value is None:
                yield None
                continue
            try:
                text = open_value(value, old, table.name, column.name, identity)
            except EncryptionError as error:
                damaged.append(str(error))
                continue
            yield encrypt_value_with_key(text, new, context_of(table.name, column.name, identity))

    return [*identity, *renew()]


def _write(
    connection: Connection,
    db: SqlDb,
    table: Table,
    sealed: list[Column[Any]],
    rows: list[list[Any]],
) -> None:
    identity = list(table.primary_key.columns)
    shape = [(c.name, c.type.compile(connection.dialect)) for c in (*identity, *sealed)]
    changes = ", ".join(f"{c.name} = rows.{c.name}" for c in sealed)
    match = " AND ".join(f"{table.name}.{c.name} = rows.{c.name}" for c in identity)
    db.execute_rows(
        connection, f"UPDATE {table.name} SET {changes} FROM rows WHERE {match}", shape, rows
    )
