"""PostgreSQL databases for tests, emptied and used again: creating one writes hundreds of files."""

from __future__ import annotations

import itertools
import os

import psycopg
from psycopg import sql

import mail_proxy.sql.schema  # noqa: F401  # declares the tables
from mail_proxy.sql.metadata import metadata

#: A table that has grown more would slow down its next test, or change a query's plan.
_LARGEST_TABLE_BYTES = 131_072
#: Statistics are part of it, because a plan depends on them.
_SHAPE = """\
SELECT md5(string_agg(format('%s %s %s', relname, relnatts, reltuples), ',' ORDER BY oid)),
    max(pg_relation_size(oid)) FILTER (WHERE relkind = 'r'),
    (SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid())
FROM pg_class WHERE relnamespace = 'public'::regnamespace"""
_RESTART_SEQUENCES = """\
SELECT setval(oid::regclass, 1, false) FROM pg_class
WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace"""
_numbers = itertools.count()


class ReusedDatabases:
    """Databases of a server that are copies of its database ``template_mail``.

    A database is used again if the test left its schema as it was, its tables small, and no
    session open.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._free: list[str] = []
        self._empty_all = sql.SQL(";").join(
            sql.SQL("DELETE FROM {}").format(sql.Identifier(table.name))
            for table in reversed(metadata.sorted_tables)
        )
        with psycopg.connect(self.url("template_mail")) as connection:
            self._shape = _look(connection)[0]

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        return f"{self._server.rsplit('/', 1)[0]}/{name}"

    def take(self) -> str:
        """Return the URL of an empty database with the newest schema."""
        if self._free:
            return self._free.pop()
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self._on_server(f"CREATE DATABASE {name} TEMPLATE template_mail")
        return self.url(name)

    def give_back(self, url: str) -> None:
        """Empty the database for the next test, or drop it."""
        if self._emptied(url):
            self._free.append(url)
        else:
            self._on_server(f"DROP DATABASE IF EXISTS {url.rsplit('/', 1)[1]} WITH (FORCE)")

    def _emptied(self, url: str) -> bool:
        """Empty the database, and return True, unless the test has changed it for good."""
        try:
            with psycopg.connect(url, options="-c lock_timeout=2s") as connection:
                shape, largest, sessions = _look(connection)
                if shape != self._shape or largest > _LARGEST_TABLE_BYTES or sessions:
                    return False
                connection.execute(self._empty_all)
                connection.execute(_RESTART_SEQUENCES)
        except psycopg.Error:
            return False
        return True

    def _on_server(self, statement: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(statement.encode())


def _look(connection: psycopg.Connection) -> tuple[str, int, int]:
    """Return a digest of the schema, the largest table's bytes, and the number of sessions."""
    row = connection.execute(_SHAPE).fetchone()
    assert row is not None
    return row[0], row[1], row[2]
