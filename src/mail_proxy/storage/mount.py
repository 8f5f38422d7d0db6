"""Mounts: named places for files, and references to files in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mail_proxy.errors import StorageError

_REFERENCE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,63}):(.*)", re.DOTALL)
_MOST_CHARACTERS = 1024
#: Mounts by tenant and name.
Mounts = Mapping[tuple[str, str], "Mount"]


@dataclass(frozen=True)
class Mount:
    """A named place for files of one tenant.

    ``trusted``: the administrator saved the place, which may be any folder and any host, and may
    be reached with the credentials of the service. ``damage`` says why ``config`` is not known.
    """

    tenant_id: str
    name: str
    protocol: str
    config: Mapping[str, Any] = field(repr=False)
    trusted: bool = True
    damage: str | None = None


def split_reference(reference: str) -> tuple[str, str] | None:
    """Return mount and path of ``<mount>:<path>``; None for any other text."""
    found = _REFERENCE.fullmatch(reference)
    return (found[1], found[2]) if found else None


def clean_path(path: str) -> str:
    """Return a path without ``.`` and double slashes; StorageError if it has ``..``."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or any(not c.isprintable() for c in path) or len(path) > _MOST_CHARACTERS:
        raise StorageError(
            f"a path has no .., no control characters and at most {_MOST_CHARACTERS} characters"
        )
    return "/".join(parts)
