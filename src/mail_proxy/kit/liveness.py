"""Whether the process that left a mark in the database still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from mail_proxy.kit.ids import uuid7


def process_space() -> str:
    """Names the set of processes among which a process id means one process.

    Host name alone is not enough: containers may share it, and numbers come again after a boot.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        # Nothing to tell processes apart by: then only the end of a lease counts.
        boot, namespace = uuid7(), ""
    return f"{socket.gethostname()} {boot} {namespace}"


def lives(pid: int) -> bool:
    """Whether a process of this process's own space has this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def mark(name: str, space: str) -> str:
    """``name`` (no blanks) with this process's id and space, for ``has_ended``."""
    return f"{name} {os.getpid()} {space}"


def has_ended(mark: str, space: str) -> bool:
    """True when the process that made the mark was in ``space`` and is not there any more.

    False also where nobody can know: for other hosts, and for what is not a mark.
    """
    _, _, rest = mark.partition(" ")
    pid, _, its_space = rest.partition(" ")
    return its_space == space and pid.isdecimal() and not lives(int(pid))
