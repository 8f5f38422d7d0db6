"""The instance and the tenant of commands that name none.

``mail-proxy use NAME[/TENANT]`` remembers them in the file ``current`` next to the instances;
``GMP_INSTANCE`` and ``GMP_TENANT`` override them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from mail_proxy.cli.names import existing_names, exists, home_folder
from mail_proxy.errors import Malformed, NotFound
from mail_proxy.kit.private_files import open_private, write_private

_FILE = "current"
_MOST_BYTES = 1000
_MOST_SHOWN = 20


class Current(NamedTuple):
    """Name of an instance and, if one is chosen, id of a tenant; with their origins."""

    name: str
    tenant: str | None
    name_origin: str
    tenant_origin: str | None


def current(environ: Mapping[str, str]) -> Current:
    """Return the instance and the tenant of commands that name none.

    The instance is that of ``GMP_INSTANCE``, of ``mail-proxy use``, or the only one. Raises
    NotFound if it does not exist, and Malformed if there is none or more than one.
    """
    name, origin = environ.get("GMP_INSTANCE"), "GMP_INSTANCE"
    tenant, tenant_origin = environ.get("GMP_TENANT"), "GMP_TENANT"
    remembered_name, remembered_tenant = _remembered(environ)
    if not name and remembered_name:
        name, origin = remembered_name, "mail-proxy use"
        if not tenant:
            tenant, tenant_origin = remembered_tenant, origin
    if not name:
        name, origin = _only_name(environ), "the only instance"
    elif not exists(name, environ):
        raise NotFound(f"no instance {name!r} (from {origin}); `mail-proxy list` shows all")
    return Current(name, tenant or None, origin, tenant_origin if tenant else None)


def remember(name: str, tenant: str | None, environ: Mapping[str, str]) -> None:
    """Let commands that name no instance use this one, and this tenant."""
    write_private(home_folder(environ) / _FILE, f"{name}/{tenant}\n" if tenant else f"{name}\n")


def forget(environ: Mapping[str, str]) -> None:
    """Forget what ``remember`` has stored."""
    (home_folder(environ) / _FILE).unlink(missing_ok=True)


def _remembered(environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    try:
        descriptor = open_private(home_folder(environ) / _FILE, os.O_RDONLY)
    except OSError:
        return None, None
    with os.fdopen(descriptor, "rb") as file:
        text = file.read(_MOST_BYTES).decode(errors="replace").strip()
    name, _, tenant = text.partition("/")
    return name or None, tenant or None


def _only_name(environ: Mapping[str, str]) -> str:
    names = existing_names(environ)
    if len(names) == 1:
        return names[0]
    if not names:
        raise Malformed("name an instance: there is none yet; `mail-proxy start NAME` makes one")
    shown = ", ".join(names[:_MOST_SHOWN])
    raise Malformed(
        f"name an instance: there are {len(names)} ({shown}); `mail-proxy use NAME` remembers one"
    )
