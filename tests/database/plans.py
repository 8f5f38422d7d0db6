"""How the database goes about the statements of a piece of work."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, event

from mail_proxy.sql import SqlDb


async def plans(
    db: SqlDb, work: Callable[..., Any], *arguments: Any, scans: bool = False
) -> list[str]:
    """Run ``work`` and return the plan of each statement.

    Without ``scans`` PostgreSQL is told to avoid whole-table scans where it can, because tests
    have too few rows for it to care: what is scanned all the same has no index that fits.
    """

    def explain(connection: Connection) -> list[str]:
        with statements(connection) as asked:
            work(connection, *arguments)
        if db.adapter.name == "sqlite":
            return [_lines(connection, f"EXPLAIN QUERY PLAN {s}", v, 3) for s, v in asked]
        if not scans:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        return [_lines(connection, f"EXPLAIN {s}", values, 0) for s, values in asked]

    return await db.write(explain)


@contextmanager
def statements(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements of the block, with their values.

    SQLite's driver gets some without SQLAlchemy. It shows all of them, the values written in.
    """
    found: list[tuple[str, Any]] = []
    driver: Any = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        texts: list[str] = []
        driver.set_trace_callback(texts.append)
        yield found
        driver.set_trace_callback(None)
        # The actions of foreign keys show the statement that they belong to again.
        found += [(text, ()) for text, _ in groupby(texts)]
        return

    def listen(_c: Any, _k: Any, statement: str, values: Any, *_: Any) -> None:
        found.append((statement, values))

    event.listen(connection, "before_cursor_execute", listen)
    yield found
    event.remove(connection, "before_cursor_execute", listen)


def whole_scans(plan: str) -> list[str]:
    """Lines that read a table, or an index, from one end to the other."""
    return [
        line
        for line in plan.splitlines()
        if "Seq Scan" in line
        or (line.startswith(("SCAN message", "SCAN command_log")) and "LIMIT" not in line)
    ]


def _lines(connection: Connection, statement: str, values: Any, column: int) -> str:
    return "\n".join(row[column] for row in connection.exec_driver_sql(statement, values))
