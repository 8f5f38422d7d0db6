"""How the database goes about the statements of a piece of work."""

from __future__ import annotations

from collections.abc import Callable
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
    asked: list[tuple[str, Any]] = []

    def listen(_c: Any, _k: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    def explain(connection: Connection) -> list[str]:
        event.listen(connection, "before_cursor_execute", listen)
        work(connection, *arguments)
        event.remove(connection, "before_cursor_execute", listen)
        if db.adapter.name == "sqlite":
            return [
                _lines(connection, f"EXPLAIN QUERY PLAN {statement}", values, 3)
                for statement, values in asked
            ]
        if not scans:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        return [_lines(connection, f"EXPLAIN {s}", values, 0) for s, values in asked]

    return await db.write(explain)


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
