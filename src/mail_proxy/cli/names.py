"""Names of instances: which are allowed, and which instances exist.

Nothing here loads settings, so that help and completion are fast.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mail_proxy.cli.commands import RESERVED_NAMES
from mail_proxy.errors import Malformed

CONFIG_FILE = "config.toml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def home_folder(environ: Mapping[str, str]) -> Path:
    """Return the parent folder of all instances."""
    return Path(environ.get("GMP_HOME") or "~/.mail-proxy").expanduser().absolute()


def is_name(name: str) -> bool:
    """Return whether an instance can have this name. No command is one."""
    return _NAME.fullmatch(name) is not None and name not in RESERVED_NAMES


def check_name(name: str) -> None:
    """Raise Malformed, with the allowed characters, if ``name`` cannot be used."""
    if name in RESERVED_NAMES:
        raise Malformed(f"{name!r} is a command, so it cannot name an instance")
    if not is_name(name):
        raise Malformed(
            f"{name!r} cannot name an instance: allowed are 1 to 64 letters, digits, "
            "'-', '_' and '.', the first one a letter or digit"
        )


def exists(name: str, environ: Mapping[str, str]) -> bool:
    """Return whether there is an instance with this name."""
    return is_name(name) and (home_folder(environ) / name / CONFIG_FILE).is_file()


def existing_names(environ: Mapping[str, str]) -> list[str]:
    """Return the names of all instances in order."""
    home = home_folder(environ)
    names = [folder.name for folder in home.iterdir()] if home.is_dir() else []
    return [name for name in sorted(names) if exists(name, environ)]
