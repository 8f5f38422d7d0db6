"""Backups of a database: dump one, and fill an empty one from the dump."""

from __future__ import annotations

from pathlib import Path

from mail_proxy.errors import SchemaTooNew
from mail_proxy.sql import SqlDb
from mail_proxy.sql.adapter import Progress
from mail_proxy.sql.migrations import is_known
from mail_proxy.sql.tables.instance import InstanceTable
from mail_proxy.sql.tables.suspensions import SuspensionsTable

#: Tables that have no secret, or whose secret is not touched here, need no key.
_NO_KEY = b""


def dump(db: SqlDb, file: Path, progress: Progress) -> None:
    """Write a consistent copy of the database, while the service goes on."""
    db.adapter.dump(file, progress)


def record(db: SqlDb, now: float) -> None:
    """Record the time of a complete backup, which the full status shows."""
    db.write_now(InstanceTable(_NO_KEY).record_backup, now)


def refuse_newer(schema: str | None) -> None:
    """Raise SchemaTooNew if this program does not know the schema of a backup."""
    if schema is not None and not is_known(schema):
        raise SchemaTooNew(f"the backup has schema {schema}; restore it with the newer program")


def load(db: SqlDb, file: Path, *, held: bool) -> int:
    """Fill an empty database from a dump; with ``held``, suspend every tenant.

    Returns how many tenants are suspended by that. Raises Conflict if the database is not empty.
    """
    db.adapter.load(file)
    return db.write_now(SuspensionsTable(_NO_KEY).suspend_everyone) if held else 0
