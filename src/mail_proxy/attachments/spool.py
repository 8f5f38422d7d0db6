"""Files that a process uses at the moment; none outlives the process for long."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from mail_proxy.kit.ids import uuid7
from mail_proxy.kit.private_files import UnsafeFile, make_folder, open_private

_LOCK = "lock"


class Spool:
    """Files of one process in a folder of its own, below ``parent``.

    A process holds a lock on its folder. Folders of processes that have ended, also after a
    crash, are removed when another process begins to use ``parent``. Methods block.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._lock: int | None = None

    def new_path(self) -> Path:
        """Return the path of a file to create. Its user removes the file."""
        return self._folder / uuid7()

    def holds(self, path: Path) -> bool:
        """Return whether a file lies in this folder."""
        return path.parent == self._folder

    def close(self) -> None:
        """Remove the folder with all its files."""
        if self._lock is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    @cached_property
    def _folder(self) -> Path:
        make_folder(self._parent)
        with _locked(self._parent):
            for folder in self._parent.iterdir():
                if folder.is_dir() and _is_abandoned(folder):
                    shutil.rmtree(folder, ignore_errors=True)
            own = self._parent / uuid7()
            own.mkdir(mode=0o700)
            self._lock = open_private(own / _LOCK, os.O_RDWR | os.O_CREAT)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        return own


@contextmanager
def _locked(parent: Path) -> Iterator[None]:
    """Keep other processes from adding and removing folders."""
    descriptor = open_private(parent / _LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_abandoned(folder: Path) -> bool:
    """Return whether no process holds the lock of ``folder``."""
    try:
        descriptor = open_private(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return True
    except (OSError, UnsafeFile):  # nothing is known of it, as if this process has no descriptors
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
