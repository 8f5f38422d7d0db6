"""Versioned schema changes, applied at start in one transaction."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from mail_proxy.errors import SchemaTooNew
from mail_proxy.sql.db import SqlDb

_FOLDER = Path(__file__).parent


def upgrade(
    db: SqlDb, revision: str = "head", *, key: bytes | None = None
) -> tuple[str | None, str]:
    """Bring the schema to ``revision``; returns where it was (None: empty) and where it is.

    ``key`` is the instance's encryption key; without it a step that has to seal what older
    programs left in the clear raises EncryptionKeyNotConfigured.
    Safe to call from several processes at once. Raises SchemaTooNew, and changes nothing,
    where a newer program has been at work.
    """
    return db.write_now(_upgrade, db, revision, key)


def current(db: SqlDb) -> str | None:
    """The revision that the database is at; None for an empty one."""
    return db.read_now(_current)


def head() -> str:
    """The revision that this program needs."""
    return _revisions()[-1]


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _revisions() -> list[str]:
    """In their order: each module's name begins with its revision."""
    return sorted(module.name[:4] for module in _FOLDER.glob("versions/[0-9]*.py"))


def _upgrade(
    connection: Connection, db: SqlDb, revision: str, key: bytes | None
) -> tuple[str | None, str]:
    db.adapter.lock_schema(connection)
    before = _current(connection)
    if before is not None and before not in _revisions():
        raise SchemaTooNew(
            f"the database has schema {before}, this program knows up to {head()}; "
            "start the newer program"
        )
    target = head() if revision == "head" else revision
    if before != target:
        _run(connection, target, key)
    return before, target


def _run(connection: Connection, target: str, key: bytes | None) -> None:
    # Not needed at most starts, and as large as everything of ours.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["key"] = key
    command.upgrade(config, target)
