"""COPY into PostgreSQL on its driver, without SQLAlchemy.

Errors are SQLAlchemy's all the same.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Connection, exc

from mail_proxy.sql.adapter import Shape

Pieces = Sequence[bytes | bytearray]
#: Format "binary" of COPY: signature, flags, length of the header's extension.
_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"


def copy_large(
    connection: Connection, table: str, shape: Shape, row: Sequence[Any], text: Pieces
) -> None:
    """Insert a row of texts and a ``uuid``, whose last column is a text in pieces.

    A parameter of a statement is copied with the interpreter lock held. COPY sends the text piece
    by piece.
    """
    import psycopg

    statement = f"COPY {table} ({', '.join(name for name, _ in shape)}) FROM STDIN (FORMAT BINARY)"
    fields = [_field(value, kind) for value, (_, kind) in zip(row, shape, strict=False)]
    size = sum(map(len, text))
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(
                b"".join((_BEGIN, struct.pack("!h", len(shape)), *fields, struct.pack("!i", size)))
            )
            for piece in text:
                copy.write(piece)
            copy.write(_END)
    except psycopg.Error as error:
        raise _wrapped(connection, error, statement, psycopg.Error) from error


def _field(value: str, kind: str) -> bytes:
    octets = uuid.UUID(value).bytes if kind == "uuid" else value.encode()
    return struct.pack("!i", len(octets)) + octets


def _wrapped(
    connection: Connection, error: Exception, statement: str, kind: type[Exception]
) -> BaseException:
    is_lost = bool(getattr(connection.connection.driver_connection, "broken", False))
    wrapped = exc.DBAPIError.instance(
        statement,
        None,
        error,
        dbapi_base_err=kind,
        hide_parameters=True,
        connection_invalidated=is_lost,
    )
    if is_lost:
        connection.invalidate(error)
    return cast(BaseException, wrapped)
