"""The process of a running instance, found by a file that it keeps locked.

The lock (flock) tells whether the process lives, not the number in the file: the kernel gives
the lock up with the process, however that ended, so a file left behind fools nobody.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from mail_proxy.errors import Conflict

#: Others look at the lock by taking it for an instant; an owner-to-be tries again meanwhile.
_TRIES = 20
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Running:
    """What the process says about itself. ``database`` is without a password; ``options`` are
    the settings of its command line, so that a restart can give them again. The timeout is in
    seconds, and here because the settings may have changed, or broken, since the start."""

    pid: int
    url: str
    host: str
    port: int
    database: str
    shutdown_timeout: float
    options: Mapping[str, Any] = field(default_factory=dict)


class HeldPidFile:
    """The pid file of this process, locked."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, running: Running) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps(asdict(running)) + "\n")
        self._file.flush()


class PidFile:
    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def hold(self) -> Iterator[HeldPidFile]:
        """Lock the file for this process and remove it at the end.

        Raises Conflict when another process has it.
        """
        file = self._lock()
        try:
            yield HeldPidFile(file)
        finally:
            self.path.unlink(missing_ok=True)
            file.close()

    def find_running(self) -> Running | None:
        """The process that holds the file now."""
        for _ in range(_TRIES):
            try:
                file = self.path.open()
            except FileNotFoundError:
                return None
            with file:
                if _take(file, fcntl.LOCK_SH):
                    return None
                text = file.read()
            if text:
                return Running(**json.loads(text))
            # Locked an instant ago: it has not written yet.
            time.sleep(_PAUSE_SECONDS)
        raise Conflict(
            f"a process is about to start or to end ({self.path.parent.name}); try again"
        )

    def _lock(self) -> IO[str]:
        for _ in range(_TRIES):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
            file = os.fdopen(descriptor, "r+")
            if _take(file, fcntl.LOCK_EX) and self._is_current(file):
                # What a dead process left must not be read as this one's.
                file.truncate()
                return file
            file.close()
            time.sleep(_PAUSE_SECONDS)
        raise Conflict(f"{self.path.parent.name} is running already")

    def _is_current(self, file: IO[str]) -> bool:
        """False when the last owner removed the file between our open and our lock."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), self.path.stat())
        except FileNotFoundError:
            return False


def _take(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
