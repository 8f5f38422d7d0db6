"""The pid file of a running instance, which its process keeps locked.

An instance is running if the file is locked (flock). The pid in the file is not trusted: the kernel
releases the lock when the process ends in any way, so a file that is left behind does no harm.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from mail_proxy.errors import Conflict
from mail_proxy.kit.private_files import open_private

#: A process that checks the lock holds it for an instant, so taking it is retried.
_TRIES = 20
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Running:
    """Content of the pid file: address, database and options of the running process.

    ``database`` is without a password. ``options`` are the settings of its command line, which a
    restart repeats. ``shutdown_timeout`` is in seconds; it is here because the configuration file
    may have changed since the start.
    """

    pid: int
    url: str
    host: str
    port: int
    database: str
    shutdown_timeout: float
    options: Mapping[str, Any] = field(default_factory=dict)


class HeldPidFile:
    """The locked pid file of this process."""

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
        """Lock the file for this process, and remove it at the end.

        Raises Conflict if another process holds the lock.
        """
        file = self._lock()
        try:
            yield HeldPidFile(file)
        finally:
            self.path.unlink(missing_ok=True)
            file.close()

    def find_running(self) -> Running | None:
        """Return the process that holds the lock, or None if the instance is stopped."""
        text = ""
        for _ in range(_TRIES):
            try:
                descriptor = open_private(self.path, os.O_RDONLY)
                file = os.fdopen(descriptor, encoding="utf-8", errors="replace")
            except FileNotFoundError:
                return None
            with file:
                if _take(file, fcntl.LOCK_SH):
                    return None
                text = file.read()
            if text:
                with suppress(ValueError, TypeError):
                    return Running(**json.loads(text))
            # The other process has locked the file and not written all of it yet.
            time.sleep(_PAUSE_SECONDS)
        name = self.path.parent.name
        if text:
            raise Conflict(f"{self.path} is locked by a process and damaged; end it, start {name}")
        raise Conflict(f"{name} is just starting or stopping; try again")

    def _lock(self) -> IO[str]:
        for _ in range(_TRIES):
            descriptor = open_private(self.path, os.O_RDWR | os.O_CREAT)
            file = os.fdopen(descriptor, "r+")
            if _take(file, fcntl.LOCK_EX) and self._is_current(file):
                # Empty the file, so that a dead process's content is not read as this one's.
                file.truncate()
                return file
            file.close()
            time.sleep(_PAUSE_SECONDS)
        raise Conflict(f"{self.path.parent.name} is running already")

    def _is_current(self, file: IO[str]) -> bool:
        """Return False if the last owner removed the file between our open and our lock."""
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
