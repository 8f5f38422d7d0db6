"""Rows that are handed to a statement arrive as they are."""

from __future__ import annotations

from typing import Any

from mail_proxy.domain.message import MessageState
from mail_proxy.sql import Connection, SqlDb

_SHAPE = (
    ("number", "integer"),
    ("seq", "bigint"),
    ("at", "double precision"),
    ("is_held", "boolean"),
    ("pk", "uuid"),
    ("content", "text"),
)
_PK = "0190163d-8694-739b-aea5-966c26f8ad91"
_TEXTS = (
    'quotes " \' and \\ backslashes \\" \\n',
    "line\r\nends\tand\x01controls\x7f",
    "{braces,NULL}",
    "",
    "null",
    "grüße ☃ \U0001f600 \u2028",
    "x" * 100_000,
)


async def test_values_of_rows_arrive_as_they_are(db: SqlDb) -> None:
    rows: list[tuple[Any, ...]] = [
        (number, 2**62 + number, 1_800_000_000.123456 + number / 3, number % 2 == 0, _PK, text)
        for number, text in enumerate(_TEXTS)
    ]
    rows += [(1, None, None, None, None, None), (2, 0, -0.1, True, _PK, MessageState.SENT)]

    def back(connection: Connection) -> list[Any]:
        names = ", ".join(name for name, _ in _SHAPE)
        return db.execute_rows(connection, f"SELECT {names} FROM rows", _SHAPE, rows)

    assert [tuple(row) for row in await db.write(back)] == rows


async def test_no_rows_are_no_statement(db: SqlDb) -> None:
    def back(connection: Connection) -> list[Any]:
        return db.execute_rows(connection, "SELECT there_is_none FROM rows", _SHAPE, [])

    assert await db.write(back) == []
