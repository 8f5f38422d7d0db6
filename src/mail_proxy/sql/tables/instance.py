"""The one row that describes the instance itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select, update

from mail_proxy.errors import EncryptionError
from mail_proxy.sql import schema
from mail_proxy.sql.keys import KEY_CHECK, prove_key
from mail_proxy.sql.table import Row, Table


class InstanceTable(Table):
    """Name, run-time settings, and the version that tells caches when to reload."""

    schema = schema.instance

    def ensure(self, connection: Connection, name: str, now: float) -> None:
        """Create the row on first start; afterwards prove that the encryption key fits.

        Raises EncryptionError that names the cause when the key is another one.
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

    def prove_key(self, connection: Connection) -> None:
        """Raises EncryptionKeyChanged when the key was replaced since this process started."""
        prove_key(connection, self._key)


class DirectoryTable(Table):
    """Rows that every process keeps in memory.

    Each has the version of the directory that its last change made, so that others read no more
    than what has changed. Versions are committed in their order, because each change locks the
    row that they are counted in until its transaction ends.
    """

    def before_write(self, connection: Connection, values: Row) -> Row:
        return {**values, "directory_version": bump_directory(connection)}

    def delete(self, connection: Connection, **where: Any) -> int:
        removed = super().delete(connection, **where)
        bump_directory(connection, is_removal=True)
        return removed


def bump_directory(connection: Connection, *, is_removal: bool = False) -> int:
    """Tell every process that tenants or accounts have changed; returns the new version.

    ``is_removal``: rows are gone, so that everything has to be read again.
    """
    c = schema.instance.c
    values = {"directory_version": c.directory_version + 1}
    if is_removal:
        values["directory_removal_version"] = c.directory_version + 1
    statement = update(schema.instance).values(values).returning(c.directory_version)
    return int(connection.execute(statement).scalar() or 0)


def directory_version(connection: Connection) -> int:
    """Grows with every change of a tenant or an account."""
    return directory_versions(connection)[0]


def directory_versions(connection: Connection) -> tuple[int, int]:
    """The version of the last change, and that of the last removal."""
    c = schema.instance.c
    row = connection.execute(select(c.directory_version, c.directory_removal_version)).first()
    return (0, 0) if row is None else (row[0], row[1])


def runtime_settings(connection: Connection) -> Mapping[str, Any]:
    """Settings that were changed while the service ran, by name."""
    found: Mapping[str, Any] | None = connection.execute(
        select(schema.instance.c.settings)
    ).scalar()
    return found or {}
