"""Table with the single row of the instance: name, run-time settings, key check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Connection, func, select, update

from mail_proxy.errors import EncryptionError
from mail_proxy.sql import schema
from mail_proxy.sql.keys import KEY_CHECK, prove_key
from mail_proxy.sql.table import Row, Table

#: Text, because every claim and every intake reads them.
_VERSIONS = "SELECT directory_version, directory_removal_version FROM instance"


class Ages(NamedTuple):
    """Times of an instance's database, Unix seconds.

    ``newest_at`` is the latest one that is stored."""

    created_at: float
    last_backup_at: float | None
    newest_at: float


class InstanceTable(Table):
    """Table with the single row of the instance, and the version of the directory."""

    schema = schema.instance

    def ensure(self, connection: Connection, name: str, now: float) -> None:
        """Create the row on the first start; later check the encryption key.

        Raises EncryptionError if the database was written with another key.
        """
        try:
            row = self.find(connection, id=1)
        except EncryptionError:
            raise EncryptionError(
                "the encryption key is not the one this database was written with; "
                "nothing was changed"
            ) from None
        if row is None:
            values = {"id": 1, "name": name, "created_at": now, "updated_at": now}
            self.insert(connection, {**values, "key_check": KEY_CHECK})

    def record_backup(self, connection: Connection, now: float) -> None:
        """Record the time of a backup, unless a later one is known."""
        at = self.columns["last_backup_at"]
        statement = update(self.schema).values(last_backup_at=now)
        connection.execute(statement.where((at < now) | at.is_(None)))

    def last_backup_at(self, connection: Connection) -> float | None:
        """Return the time of the last backup, or None if none is known."""
        found: float | None = connection.execute(select(self.columns["last_backup_at"])).scalar()
        return found

    def ages(self, connection: Connection) -> Ages:
        """Return when the database was made and backed up, and its latest time."""
        row = connection.execute(
            select(
                self.columns["created_at"],
                self.columns["last_backup_at"],
                select(func.max(schema.command_log.c.at)).scalar_subquery(),
                select(func.max(schema.tenant.c.updated_at)).scalar_subquery(),
            )
        ).one()
        return Ages(row[0], row[1], max(at for at in row if at is not None))

    def prove_key(self, connection: Connection) -> None:
        """Raise EncryptionKeyChanged if the key was replaced since this process started."""
        prove_key(connection, self._key)


class DirectoryTable(Table):
    """Table whose rows every process caches in its directory.

    Each row has the version of the directory that its last change made, so that processes reload
    changed rows only. Versions are committed in their order, because each change locks the
    counter's row until its transaction ends. ``sealed_objects`` are sealed columns that hold a
    JSON object.
    """

    sealed_objects: ClassVar[tuple[str, ...]] = ()

    def before_write(self, connection: Connection, values: Row) -> Row:
        objects = {
            name: orjson.dumps(values[name]).decode()
            for name in self.sealed_objects
            if isinstance(values.get(name), dict)
        }
        return {**values, **objects, "directory_version": bump_directory(connection)}

    def _open(self, row: Row) -> Row:
        row = super()._open(row)
        for name in self.sealed_objects:
            if isinstance(row.get(name), str):
                row[name] = orjson.loads(row[name])
        return row

    def delete(self, connection: Connection, *conditions: ColumnElement[bool], **where: Any) -> int:
        removed = super().delete(connection, *conditions, **where)
        bump_directory(connection, is_removal=True)
        return removed


def bump_directory(connection: Connection, *, is_removal: bool = False) -> int:
    """Increase the version of the directory, so that caches reload; return it.

    ``is_removal``: rows were deleted, so that all rows have to be read again.
    """
    c = schema.instance.c
    values = {"directory_version": c.directory_version + 1}
    if is_removal:
        values["directory_removal_version"] = c.directory_version + 1
    statement = update(schema.instance).values(values).returning(c.directory_version)
    return int(connection.execute(statement).scalar() or 0)


def directory_version(connection: Connection) -> int:
    """Return the directory's version, which grows with every change of a row."""
    return directory_versions(connection)[0]


def directory_versions(connection: Connection) -> tuple[int, int]:
    """Return the directory's version at the last change, and at the last removal."""
    row = connection.exec_driver_sql(_VERSIONS).first()
    return (0, 0) if row is None else (row[0], row[1])


def runtime_settings(connection: Connection) -> Mapping[str, Any]:
    """Return the settings that were changed at run time, by name."""
    found: Mapping[str, Any] | None = connection.execute(
        select(schema.instance.c.settings)
    ).scalar()
    return found or {}
