"""Table of the audit log: the caller, time and result of each requested change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, Select, delete, func, or_, select

from mail_proxy.sql import schema
from mail_proxy.sql.adapters import Shape
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.table import Row, Table

_ENTRY: Shape = (
    ("at", "double precision"),
    ("operation", "text"),
    ("endpoint", "text"),
    ("tenant_id", "text"),
    ("actor", "text"),
    ("address", "text"),
    ("request_id", "text"),
    ("status", "integer"),
    ("error", "text"),
    ("payload", "text"),
)
_METHODS = ("GET", "POST", "PUT", "DELETE")


@dataclass(frozen=True)
class LogFilter:
    """Filter of audit entries; None means any.

    Times are Unix seconds, both included. ``endpoint`` is method and route, the route alone, or
    the name of an operation.
    """

    tenant_id: str | None = None
    since: float | None = None
    until: float | None = None
    endpoint: str | None = None


class CommandLogTable(Table):
    """Table of the audit log. A row is written in its operation's own transaction."""

    schema = schema.command_log

    def __init__(self, db: SqlDb, key: bytes) -> None:
        super().__init__(key)
        self._db = db

    def insert_many(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert many rows, each with all columns except the id."""
        names = [name for name, _ in _ENTRY]
        values = [
            tuple(_json(row[name]) if name == "payload" else row[name] for name in names)
            for row in rows
        ]
        self._db.insert_rows(connection, "command_log", _ENTRY, values)

    def newest(
        self, connection: Connection, wanted: LogFilter, limit: int, offset: int
    ) -> list[Row]:
        """Return entries, newest first, without the first ``offset``."""
        statement = self._matching(wanted).order_by(self.schema.c.id.desc())
        rows = connection.execute(statement.limit(limit).offset(offset))
        return [dict(row._mapping) for row in rows]

    def after(
        self, connection: Connection, wanted: LogFilter, after_id: int, limit: int
    ) -> list[Row]:
        """Return the entries after ``after_id``, oldest first."""
        c = self.schema.c
        statement = self._matching(wanted).where(c.id > after_id).order_by(c.id)
        return [dict(row._mapping) for row in connection.execute(statement.limit(limit))]

    def _matching(self, wanted: LogFilter) -> Select[tuple[object, ...]]:
        c = self.schema.c
        statement = select(self.schema)
        if wanted.tenant_id is not None:
            statement = statement.where(c.tenant_id == wanted.tenant_id)
        if wanted.since is not None:
            statement = statement.where(c.at >= wanted.since)
        if wanted.until is not None:
            statement = statement.where(c.at <= wanted.until)
        if wanted.endpoint is not None:
            names = [wanted.endpoint, *(f"{method} {wanted.endpoint}" for method in _METHODS)]
            statement = statement.where(or_(c.endpoint.in_(names), c.operation == wanted.endpoint))
        return statement

    def remove_oldest(self, connection: Connection, before: float, limit: int) -> int:
        """Remove at most ``limit`` rows older than ``before``; return their number.

        ``before`` is in Unix seconds.
        """
        c = self.schema.c
        oldest = select(c.id).where(c.at < before).order_by(c.at).limit(limit)
        return connection.execute(delete(self.schema).where(c.id.in_(oldest))).rowcount

    def with_more_than(self, connection: Connection, most: int) -> list[str]:
        """Return the tenants that have more than ``most`` entries."""
        c = self.schema.c
        grouped = select(c.tenant_id).where(c.tenant_id.is_not(None)).group_by(c.tenant_id)
        return list(connection.execute(grouped.having(func.count() > most)).scalars())

    def remove_beyond(self, connection: Connection, tenant_id: str, most: int, limit: int) -> int:
        """Remove at most ``limit`` entries of a tenant's key; return their number.

        The tenant's newest ``most`` entries stay, and all that others made about the tenant.
        """
        c = self.schema.c
        of_tenant = select(c.id).where(c.tenant_id == tenant_id)
        newest_gone = of_tenant.order_by(c.id.desc()).offset(most).limit(1).scalar_subquery()
        gone = (
            of_tenant.where(c.id <= newest_gone, c.actor == f"tenant:{tenant_id}")
            .order_by(c.id)
            .limit(limit)
        )
        return connection.execute(delete(self.schema).where(c.id.in_(gone))).rowcount


def _json(value: object) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
