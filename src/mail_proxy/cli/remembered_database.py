"""Remember the database of an instance in the line ``db_path`` of its config.toml.

Without it, a start that misses a variable of the environment would come up on an empty SQLite
file, while the queue waits in another database.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from mail_proxy.cli.output import without_password
from mail_proxy.errors import ConfigError, Conflict
from mail_proxy.kit.private_files import write_private

#: A line of config.toml that sets ``db_path``, or shows it as a comment.
_LINE = re.compile(r"^[ \t]*(?:#[ \t]*)?db_path[ \t]*=.*$", re.MULTILINE)


class RememberedDatabase:
    """Database that config.toml names, else the SQLite file in the instance's folder."""

    def __init__(self, config_file: Path, own_file: Path) -> None:
        self._config_file = config_file
        self._own_file = own_file

    def db_path(self) -> str | None:
        """Return the path or URL of the database, or None before the first start."""
        named = self._named()
        if named is not None:
            return named
        return str(self._own_file) if self._own_file.exists() else None

    def refuse_another(self, db_path: str, origin: str) -> None:
        """Raise Conflict if the instance has another database than ``db_path``.

        A URL with another password is the same database. ``origin`` is the source of ``db_path``,
        for the error.
        """
        known = self.db_path()
        if known is None or _identity(known) == _identity(db_path):
            return
        source = "configuration file" if origin == "file" else origin
        raise Conflict(
            f"the database of this instance is {without_password(known)}, and the {source} names "
            f"{without_password(db_path)}. Start it without naming a database, or with "
            "--new-database to change to the other one: messages in the first would stay there"
        )

    def remember(self, db_path: str) -> None:
        """Write ``db_path`` into config.toml, unless it names this database already.

        The file in the instance's folder is not named, so that the folder can be moved.
        """
        known = self.db_path()
        is_own = _identity(db_path) == _identity(str(self._own_file))
        if (is_own and self._named() is None) or (
            known is not None and _identity(known) == _identity(db_path)
        ):
            return
        text = self._config_file.read_text(encoding="utf-8")
        line = f"db_path = {json.dumps(db_path)}"
        # Before the first table: a key behind it would belong to that table.
        text, replaced = _LINE.subn(lambda _: line, text, count=1)
        write_private(self._config_file, text if replaced else f"{line}\n{text}")

    def _named(self) -> str | None:
        try:
            tree = tomllib.loads(self._config_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self._config_file.name}: cannot be read: {error}") from None
        named = tree.get("db_path")
        return None if named is None else str(named)


def _identity(db_path: str) -> tuple[object, ...]:
    """Return the server and name of a database, or its file, without the password."""
    scheme, found, rest = db_path.partition("://")
    if not found:
        return ("sqlite", Path(db_path).absolute())
    if scheme == "sqlite":
        return ("sqlite", Path(rest.removeprefix("/")).absolute())
    parts = urlsplit(db_path)
    query = sorted((key, value) for key, value in parse_qsl(parts.query) if key != "password")
    address = (parts.username, parts.hostname, parts.port or 5432)
    return ("postgresql", *address, parts.path, tuple(query))
