"""Everything that speaks SQL. The only importer of SQLAlchemy and Alembic."""

from mail_proxy.sql.db import Connection, SqlDb
from mail_proxy.sql.postgresql import PostgresAdapter
from mail_proxy.sql.sqlite import SqliteAdapter
from mail_proxy.sql.table import Column, Columns, Damaged, RecordUpdater, Table

__all__ = [
    "Column",
    "Columns",
    "Connection",
    "Damaged",
    "PostgresAdapter",
    "RecordUpdater",
    "SqlDb",
    "SqliteAdapter",
    "Table",
]
