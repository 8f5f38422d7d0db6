"""Check and replace the encryption key of a database.

The row ``instance`` holds a known text that is sealed like every secret. A process that writes a
secret locks that row first and checks that its key opens the text. So a process that missed a
rotation cannot write values that no key opens.
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
from mail_proxy.sql.messages.attachment_logins import reencrypt_logins
from mail_proxy.sql.metadata import metadata
from mail_proxy.sql.types import Sealed

KEY_CHECK = "mail-proxy"
_ROWS_AT_ONCE = 500
_MOST_NAMED = 5

#: Callback with the number of finished values, and of all.
Progress = Callable[[int, int], None]


def context_of(table: str, column: str, identity: Iterable[Any]) -> str:
    """Return the context of a sealed value. It cannot be opened in another place."""
    return f"{table}.{column}:{'/'.join(str(part) for part in identity)}"


def open_value(value: str, key: bytes, table: str, column: str, identity: Iterable[Any]) -> str:
    """Decrypt a secret of the database; EncryptionError names its table and row."""
    identity = list(identity)
    try:
        return decrypt_value_with_key(value, key, context_of(table, column, identity))
    except EncryptionError as error:
        row = "/".join(str(part) for part in identity)
        raise EncryptionError(f"{table}.{column} of row {row}: {error}") from None


def key_matches(connection: Connection, key: bytes, *, lock: bool = False) -> bool | None:
    """Return whether the database was written with this key; None if with no key yet."""
    statement = select(schema.instance.c.key_check)
    sealed = connection.execute(statement.with_for_update() if lock else statement).scalar()
    if sealed is None:
        return None
    try:
        return open_value(sealed, key, "instance", "key_check", [1]) == KEY_CHECK
    except EncryptionError:
        return False


def prove_key(connection: Connection, key: bytes, *, lock: bool = False) -> None:
    """Raise EncryptionKeyChanged if ``key`` is not the key of the database any more.

    With ``lock`` the key cannot be replaced until the transaction ends.
    """
    if key_matches(connection, key, lock=lock) is False:
        raise EncryptionKeyChanged(
            "the encryption key of the database was replaced while this process was running; "
            "restart it with the new key"
        )


def reencrypt(connection: Connection, db: SqlDb, old: bytes, new: bytes, progress: Progress) -> int:
    """Encrypt every secret of the database with the key ``new``; return their number.

    Raises EncryptionError, with the places, if some secrets cannot be opened. Then none is changed.
    """
    prove_key(connection, old, lock=True)
    _refuse_unknown_tables(connection)
    tables = [(table, sealed) for table in metadata.sorted_tables if (sealed := _of(table))]
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
    reencrypt_logins(connection, old, new, damaged, lambda: progress(done, total))
    if damaged:
        more = f" and {len(damaged) - _MOST_NAMED} more" if len(damaged) > _MOST_NAMED else ""
        places = "; ".join(damaged[:_MOST_NAMED])
        raise EncryptionError(f"nothing was changed, save these again first: {places}{more}")
    return total


Values = list[tuple[list[Any], list[str | None]]]


def _refuse_unknown_tables(connection: Connection) -> None:
    """Raise EncryptionError if the database has tables unknown to this program.

    Secrets in such a table would be lost with the old key.
    """
    known = {*metadata.tables, "alembic_version"}
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
