"""The encryption key of a database: find it at the start, and replace it.

During a replacement both keys are on the disk: the new one is in ``encryption_key.new`` until the
database has it. If the work is interrupted, the next start finds the key that fits.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from mail_proxy.config import ProxyConfig
from mail_proxy.encryption import (
    KEY_BYTES,
    key_from_outside,
    load_key,
    make_key_file,
    read_key_file,
    rename_key_file,
    replace_key_file,
)
from mail_proxy.errors import (
    ConfigError,
    Conflict,
    EncryptionError,
    EncryptionKeyNotConfigured,
    Malformed,
)
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.keys import Progress, key_matches, reencrypt
from mail_proxy.sql.migrations import current, head
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.instance import bump_directory
from mail_proxy.telemetry.log import ServiceAction, log


@dataclass(frozen=True)
class Rotated:
    """Result of a rotation.

    ``key_file`` holds the new key; None if the caller brought it and keeps it. ``outside`` is the
    source that still has the old key and that only its owner can change; None if the instance
    keeps its key in its own file.
    """

    key_file: Path | None
    outside: str | None


def find_key(config: ProxyConfig, db: SqlDb) -> bytes:
    """Return the encryption key; make one if database and key do not exist yet.

    A database that has been written to never gets another key: its secrets would be lost.
    Raises EncryptionError that names the cause if there is no key, or only a wrong one, and
    ConfigError for a database file that has lost its content.
    """
    file = _own_file(config)
    if not db.adapter.is_new:
        _refuse_emptied(config, file)
    is_empty = current(db) is None
    try:
        key = load_key(file)
    except EncryptionKeyNotConfigured:
        if file is None or not is_empty:
            raise
        make_key_file(file)
        key = load_key(file)
    if is_empty or db.read_now(key_matches, key) is not False:
        return key
    rotated = _of_broken_rotation(file, db)
    if rotated is None:
        raise EncryptionError(
            "the encryption key is not the one this database was written with "
            f"(key from {key_from_outside(os.environ) or file}); nothing was changed"
        )
    return rotated


def _refuse_emptied(config: ProxyConfig, key_file: Path | None) -> None:
    """Raise ConfigError for a SQLite file of 0 bytes next to an existing key.

    SQLite takes that file for a new database. Its queue would be lost without a word.
    """
    scheme, _, path = config.database_url.partition(":///")
    if scheme != "sqlite" or key_file is None or not key_file.exists():
        return
    if Path(path).is_file() and Path(path).stat().st_size == 0:
        raise ConfigError(
            f"db_path: {path} has 0 bytes, but {key_file} is the key of a database that was there "
            "before; restore a backup, or delete the empty file to begin with a new database"
        )


class Rotation:
    """Rotation of the encryption key: ``prepare``, ``commit``, ``finish``, once each.

    If it is interrupted between two steps, the instance still starts. No process of this instance
    may run on this host. Processes on other hosts notice the change, and write no secret until
    they are restarted with the new key.
    """

    def __init__(self, config: ProxyConfig, db: SqlDb, new_key: bytes | None = None) -> None:
        """``new_key`` has 32 bytes; None: a random key.

        Raises ConfigError if there is no file to write the new key to.
        """
        file = _own_file(config)
        if file is None:
            raise ConfigError("key_file: a path is needed, for the new key")
        self._config = config
        self._db = db
        self._file = file
        self._outside = key_from_outside(os.environ)
        self._old = b""
        self._new = new_key or secrets.token_bytes(KEY_BYTES)
        #: A key that the caller brought for an outside source is the caller's to keep.
        self._keeps_new = new_key is None or self._outside is None

    def prepare(self) -> None:
        """Verify the old key and write the new one to the disk, not to the database.

        Raises EncryptionError, Conflict or Malformed that names the cause.
        """
        if current(self._db) != head():
            raise Conflict("the database is empty or not up to date; start the instance once")
        self._old = find_key(self._config, self._db)
        if self._old != load_key(self._file):
            raise Conflict(
                f"{self._outside} is still the key from before the last rotation; set it to the "
                f"content of {_pending(self._file)} first"
            )
        if self._new == self._old:
            raise Malformed("the new key is the old one")
        if self._keeps_new:
            replace_key_file(_pending(self._file), self._new)

    def commit(self, now: float, progress: Progress) -> int:
        """Encrypt all values again in one transaction, and return how many they are.

        ``progress`` may start over. Raises EncryptionError if a value cannot be decrypted; then
        nothing was changed.
        """
        return self._db.write_now(self._replace, now, progress)

    def finish(self) -> Rotated:
        """Replace the key file by the new one, if the instance keeps its key in a file."""
        if self._outside is None:
            _adopt(self._file)
            return Rotated(self._file, None)
        return Rotated(_pending(self._file) if self._keeps_new else None, self._outside)

    def _replace(self, connection: Connection, now: float, progress: Progress) -> int:
        values = reencrypt(connection, self._db, self._old, self._new, progress)
        # This makes the other processes check their key.
        bump_directory(connection)
        row = {"at": now, "endpoint": "keys.rotate", "actor": "admin", "status": 200}
        payload = {"values": values}
        Tables.of(self._db, self._new).command_log.insert(connection, {**row, "payload": payload})
        return values


def _own_file(config: ProxyConfig) -> Path | None:
    if config.key_file is None and config.database_url.startswith("sqlite:///"):
        database = Path(config.database_url.removeprefix("sqlite:///"))
        return database.with_name("encryption_key")
    return config.key_file


def _of_broken_rotation(file: Path | None, db: SqlDb) -> bytes | None:
    """Return the key of a rotation that was interrupted after the database had it."""
    key = None if file is None else read_key_file(_pending(file))
    if file is None or key is None or not db.read_now(key_matches, key):
        return None
    outside = key_from_outside(os.environ)
    if outside is None:
        _adopt(file)
    else:
        log(ServiceAction.KEY_OUTDATED, source=outside, used=str(_pending(file)))
    return key


def _adopt(file: Path) -> None:
    try:
        rename_key_file(_pending(file), file)
    except FileNotFoundError:
        # Another process, which is starting as well, was faster.
        return


def _pending(file: Path) -> Path:
    return file.with_name(f"{file.name}.new")
