"""Instances: named services, each with a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.markup import escape

from mail_proxy.cli.names import CONFIG_FILE, check_name, existing_names, home_folder
from mail_proxy.cli.output import talk
from mail_proxy.cli.process import PidFile, Running
from mail_proxy.cli.remembered_database import RememberedDatabase
from mail_proxy.encryption import key_from_outside, make_key_file, new_token
from mail_proxy.errors import Conflict, NotFound
from mail_proxy.kit.private_files import make_folder, open_private, refuse_links, write_private
from mail_proxy.settings import LoadedConfig, load_config, settings

_HEADING = """\
# Settings of the instance {name}. Lines that start with # show the defaults ("...": none).
# The environment (variable in brackets) and the command line override this file.
"""


class Instance:
    """An instance: the folder ``<home>/<name>/`` and its files. It need not exist yet."""

    def __init__(self, name: str, home: Path) -> None:
        """Raise Malformed if an instance cannot have this name."""
        check_name(name)
        self.name = name
        self.folder = home / name
        self.config_file = self.folder / CONFIG_FILE
        self.database = self.folder / "mail_service.db"
        self.token_file = self.folder / "token"
        self.key_file = self.folder / "encryption_key"
        self.log_file = self.folder / "log"
        self.pid_file = PidFile(self.folder / "pid")
        self.remembered_database = RememberedDatabase(self.config_file, self.database)

    @classmethod
    def existing(cls, name: str, environ: Mapping[str, str]) -> Instance:
        """Return the instance ``name``. Raises NotFound if it does not exist."""
        instance = cls(name, home_folder(environ))
        if not instance.exists():
            raise NotFound(f"no instance {name!r}; `mail-proxy list` shows all instances")
        return instance

    @classmethod
    def all(cls, environ: Mapping[str, str]) -> list[Instance]:
        """List all instances, ordered by name."""
        home = home_folder(environ)
        return [cls(name, home) for name in existing_names(environ)]

    def exists(self) -> bool:
        return self.config_file.is_file()

    def create(self, environ: Mapping[str, str]) -> None:
        """Create the folder, key, token and config.toml, as far as they are missing.

        The key is only made with a new instance, because a lost key must not be replaced by one
        that cannot decrypt anything. It is not made if the environment has a key.
        """
        is_new = not self.exists()
        if make_folder(self.folder):
            talk(f"[yellow]Other users had access to {escape(str(self.folder))}.[/] Now it is 0700")
        refuse_links(self.token_file, self.key_file, self.log_file, self.pid_file.path)
        if is_new and key_from_outside(environ) is None:
            make_key_file(self.key_file)
        if not self.token():
            self.keep_token(new_token())
        if is_new:
            # Last, because a folder with this file counts as an instance.
            write_private(self.config_file, self._settings_template())

    def token(self) -> str | None:
        try:
            with os.fdopen(open_private(self.token_file, os.O_RDONLY)) as file:
                return file.read().strip() or None
        except FileNotFoundError:
            return None

    def keep_token(self, token: str) -> None:
        """Write the service's token to the token file, for the other commands."""
        if token != self.token():
            write_private(self.token_file, token + "\n")

    def load_config(
        self, command_line: Mapping[str, Any] | None, environ: Mapping[str, str]
    ) -> LoadedConfig:
        """Load the settings, with the paths in this folder as defaults.

        ``GMP_CONFIG_FILE`` replaces the folder's config.toml. An explicitly empty token means no
        token.
        """
        file = Path(environ["GMP_CONFIG_FILE"]) if environ.get("GMP_CONFIG_FILE") else None
        if file is None and self.config_file.exists():
            file = self.config_file
        loaded = load_config(command_line, environ, file, self._defaults())
        token = loaded.config.api_token
        if token is not None and not token.get_secret_value():
            config = loaded.config.model_copy(update={"api_token": None})
            return replace(loaded, config=config)
        return loaded

    def load_own_config(
        self,
        command_line: Mapping[str, Any] | None,
        environ: Mapping[str, str],
        *,
        new_database: bool = False,
    ) -> LoadedConfig:
        """Load the settings for a command that opens the database.

        Raises Conflict if they name another database than the instance has, unless
        ``new_database`` permits that.
        """
        loaded = self.load_config(command_line, environ)
        if not new_database:
            origin = loaded.origins["db_path"]
            self.remembered_database.refuse_another(loaded.config.db_path, origin)
        return loaded

    def find_running(self) -> Running | None:
        return self.pid_file.find_running()

    def has_died(self) -> bool:
        """Return True if the last process ended without removing its pid file."""
        return self.find_running() is None and self.pid_file.path.exists()

    def delete(self) -> None:
        """Remove the folder and its content. Raises Conflict while the instance runs."""
        with self.pid_file.hold():
            shutil.rmtree(self.folder)

    def refuse_while_running(self, advice: str) -> None:
        running = self.find_running()
        if running is not None:
            raise Conflict(f"{self.name} is running (pid {running.pid}, {running.url}); {advice}")

    def _settings_template(self) -> str:
        """Return the text of a new config.toml, with all defaults as comments."""
        lines = [_HEADING.format(name=self.name)]
        own = self._defaults()
        table = ""
        for setting in settings():
            group, _, key = setting.dotted.rpartition(".")
            if setting.dotted in ("name", "api_token"):
                continue
            if group != table:
                table = group
                lines.append(f"[{group}]")
            default = own.get(setting.dotted, setting.default)
            lines.append(f"# {setting.description} ({setting.variables[0]})")
            lines.append(f"# {key} = {_toml(default)}\n")
        return "\n".join(lines)

    def _defaults(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "db_path": str(self.database),
            "key_file": str(self.key_file),
            "cache.cache_disk_dir": str(self.folder / "cache"),
            "pec.receipts_dir": str(self.folder / "receipts"),
            "api_token": self.token(),
        }


def _toml(value: Any) -> str:
    """Write a default value as TOML, whose scalars and lists look like JSON."""
    return json.dumps("..." if value is None else value)
