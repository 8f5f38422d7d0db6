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
    """Migrate the schema to ``revision``; returns the revisions before and after.

    The revision before is None for an empty database.

    ``key`` is the instance's encryption key. Without it, a step that encrypts secrets of older
    programs raises EncryptionKeyNotConfigured.
    Safe to call from several processes at once. Raises SchemaTooNew, and changes nothing,
    if a newer program has migrated the database.
    """
    return db.write_now(_upgrade, db, revision, key)


def current(db: SqlDb) -> str | None:
    """Return the revision of the database; None for an empty one."""
    return db.read_now(_current)


def head() -> str:
    """Return the revision that this program needs."""
    return _revisions()[-1]


def is_known(revision: str) -> bool:
    """Return whether this program can use or upgrade a database of that revision."""
    return revision in _revisions()


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _revisions() -> list[str]:
    """Return the revisions in order: each module's name begins with its revision."""
    return sorted(module.name[:4] for module in _FOLDER.glob("versions/[0-9]*.py"))


def _upgrade(
    connection: Connection, db: SqlDb, revision: str, key: bytes | None
) -> tuple[str | None, str]:
    db.adapter.lock_schema(connection)
    before = _current(connection)
    if before is not None and not is_known(before):
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
