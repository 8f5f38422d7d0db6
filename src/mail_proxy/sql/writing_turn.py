"""File lock by which processes of one machine take turns at writing to SQLite."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class WritingTurn:
    """Turn of this process at writing, waited for in the order of the requests.

    SQLite itself polls for its lock, up to 100 ms apart, and favours the process that asks at the
    right moment. The turn is only for speed and fairness; SQLite's own lock keeps the file whole.
    So a process writes without the turn if another one has held it for ``patience_seconds``:
    that process hangs or was stopped. If it is inside a transaction, SQLite's lock shows it.
    """

    def __init__(self, path: str, patience_seconds: float) -> None:
        """``path`` is the file to lock; it is made by the first turn."""
        self._path = path
        self._patience_seconds = patience_seconds
        self._descriptor: int | None = None
        #: A wait that was given up and has not ended.
        self._stuck: _Wait | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the turn, at most ``patience_seconds``, and hold it in the block."""
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
        has_turn = self._take(self._descriptor)
        try:
            yield
        finally:
            if has_turn:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _take(self, descriptor: int) -> bool:
        if self._stuck is not None and not self._stuck.has_ended.is_set():
            return False
        self._stuck = None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            wait = _Wait(descriptor)
        if wait.is_granted(self._patience_seconds):
            return True
        self._stuck = wait
        return False


class _Wait:
    """Wait for a file lock on a thread of its own: flock has no time limit.

    The thread is a daemon, so that a process can end while it waits.
    """

    def __init__(self, descriptor: int) -> None:
        self.has_ended = threading.Event()
        self._descriptor = descriptor
        self._deciding = threading.Lock()
        self._is_given_up = False
        threading.Thread(target=self._run, name="db-turn", daemon=True).start()

    def is_granted(self, seconds: float) -> bool:
        """Wait for the lock; after False it is released as soon as it is granted."""
        self.has_ended.wait(seconds)
        with self._deciding:
            self._is_given_up = not self.has_ended.is_set()
        return not self._is_given_up

    def _run(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        with self._deciding:
            if self._is_given_up:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self.has_ended.set()
