"""Detect that a process which owns a row of the database has ended."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from mail_proxy.kit.ids import uuid7


def process_space() -> str:
    """Return a name for the set of processes in which a process id is unique.

    A host name is not enough: containers may share it, and process ids come again after a boot.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        # Without /proc, only the end of a lease shows that its process has ended.
        boot, namespace = uuid7(), ""
    return f"{socket.gethostname()} {boot} {namespace}"


def is_running(pid: int) -> bool:
    """Return whether a process with this id runs in this process's own space."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def process_mark(name: str, space: str) -> str:
    """Return this process's mark as an owner: ``name`` (no blanks), id, ``space``.

    ``has_ended`` reads it.
    """
    return f"{name} {os.getpid()} {space}"


def has_ended(mark: str, space: str) -> bool:
    """Return whether the process that made ``mark`` ran in ``space`` and has ended.

    False if that cannot be known: for a process of another host, or a text that is not a mark.
    """
    _, _, rest = mark.partition(" ")
    pid, _, its_space = rest.partition(" ")
    return its_space == space and pid.isdecimal() and not is_running(int(pid))
