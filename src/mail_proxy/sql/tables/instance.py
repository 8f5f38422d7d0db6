"""The one row that describes the instance itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select, update

from mail_proxy.errors import EncryptionError
from mail_proxy.sql import schema
from mail_proxy.sql.keys import KEY_CHECK, prove_key
from mail_proxy.sql.table import Table


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


def bump_directory(connection: Connection) -> None:
    """Tell every process that tenants or accounts have changed."""
    version = schema.instance.c.directory_version
    connection.execute(update(schema.instance).values(directory_version=version + 1))


def directory_version(connection: Connection) -> int:
    """Grows with every change of a tenant or an account."""
    found = connection.execute(select(schema.instance.c.directory_version)).scalar()
    return int(found or 0)


def runtime_settings(connection: Connection) -> Mapping[str, Any]:
    """Settings that were changed while the service ran, by name."""
    found: Mapping[str, Any] | None = connection.execute(
        select(schema.instance.c.settings)
    ).scalar()
    return found or {}
