"""Checks of an instance's files: modes, owner, token, key."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from mail_proxy.cli.doctor.finding import Finding, fault, good
from mail_proxy.cli.instance import Instance
from mail_proxy.config import ProxyConfig
from mail_proxy.domain.networks import is_loopback
from mail_proxy.encryption import key_from_outside, load_key
from mail_proxy.errors import EncryptionError

_FOR_OTHERS = 0o077
#: Entries of the folder that are examined; files below its folders are not.
_MOST = 1000
_SHORT_TOKEN = 20


def check_files(instance: Instance) -> Iterator[Finding]:
    """Find files that other users may read, links, and files of another user."""
    paths = [instance.folder, *sorted(instance.folder.iterdir())[:_MOST]]
    faults = [found for path in paths if (found := _fault_of(path, instance))]
    yield from faults
    if not faults:
        yield good("files", str(instance.folder), "closed to other users")


def check_token(instance: Instance, config: ProxyConfig) -> Iterator[Finding]:
    """Find a token that can be guessed, or a missing one that is needed."""
    subject = str(instance.token_file)
    token = config.api_token.get_secret_value() if config.api_token else None
    if token is None and not is_loopback(config.host):
        yield fault(
            "token",
            subject,
            f"there is none, so the service refuses to listen on {config.host}",
            f"`mail-proxy {instance.name} token --regenerate` makes one; or listen on 127.0.0.1",
        )
    elif token is None:
        yield good("token", subject, "none yet; the next start makes one")
    elif len(token) < _SHORT_TOKEN:
        yield fault(
            "token",
            subject,
            f"it has {len(token)} characters, which can be guessed",
            f"`mail-proxy {instance.name} token --regenerate`, or a longer GMP_API_TOKEN",
        )
    else:
        yield good("token", subject, "there")


def check_key(config: ProxyConfig, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Find a missing or damaged encryption key."""
    subject = key_from_outside(environ) or str(config.key_file)
    try:
        load_key(config.key_file, environ)
    except EncryptionError as error:
        hint = "put the key back from its copy; without it the stored passwords are lost"
        yield fault("key", subject, error.message, hint)
    else:
        yield good("key", subject, "there")


def _fault_of(path: Path, instance: Instance) -> Finding | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        hint = "put the file itself in its place"
        return fault("files", str(path), "is a symbolic link, which is not followed", hint)
    if found.st_uid != os.geteuid():
        hint = f"chown -R it to the user that runs {instance.name}, or run doctor as that user"
        return fault("files", str(path), f"belongs to the user with the id {found.st_uid}", hint)
    mode = stat.S_IMODE(found.st_mode)
    if mode & _FOR_OTHERS:
        wanted = "700" if stat.S_ISDIR(found.st_mode) else "600"
        text = f"has the mode {mode:04o}, so other users of this machine may reach it"
        return fault("files", str(path), text, f"chmod {wanted} {path}")
    return None
