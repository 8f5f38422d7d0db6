"""Versioned schema changes, applied at start in one transaction."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from mail_proxy.errors import SchemaTooNew
from mail_proxy.sql.db import SqlDb


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
    return db.read_now(
        lambda connection: MigrationContext.configure(connection).get_current_revision()
    )


def head() -> str:
    """The revision that this program needs."""
    found = _scripts().get_current_head()
    assert found is not None
    return found


def _upgrade(
    connection: Connection, db: SqlDb, revision: str, key: bytes | None
) -> tuple[str | None, str]:
    db.adapter.lock_schema(connection)
    before = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in _scripts().walk_revisions()}
    if before is not None and before not in known:
        raise SchemaTooNew(
            f"the database has schema {before}, this program knows up to {head()}; "
            "start the newer program"
        )
    target = head() if revision == "head" else revision
    if before != target:
        config = _config()
        config.attributes["connection"] = connection
        config.attributes["key"] = key
        command.upgrade(config, target)
    return before, target


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
