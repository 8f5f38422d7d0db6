"""State of the database as the transactions of this process have seen it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mail_proxy.errors import DatabaseDamaged, DatabaseUnavailable
from mail_proxy.telemetry.log import ServiceAction, log
from mail_proxy.telemetry.troubles import REMINDER_SECONDS

#: A transaction may succeed while others fail: a small one still fits on a full disk, and most
#: pages of a damaged file are whole. So a failure counts for a while.
_TROUBLE_SECONDS = 5.0
_DAMAGE_SECONDS = 300.0
#: A successful write proves for so long that the database works.
_PROVEN_SECONDS = 5.0
#: Time without an end and a new begin in the log.
_QUIET_SECONDS = 30.0


class Availability:
    """Record of why transactions fail; logs when that begins and when it ends.

    Called from several threads.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._changing = threading.Lock()
        self._error: DatabaseUnavailable | None = None
        self._until = 0.0
        self._began = 0.0
        self._logged = float("-inf")
        self._is_logged = False
        self._written = float("-inf")

    @property
    def reason(self) -> str | None:
        """Why transactions fail, without addresses and paths; None if they succeed."""
        error = self._error
        return None if error is None else error.summary

    @property
    def needs_proof(self) -> bool:
        """True if no transaction has failed and none was written in the last seconds."""
        now = self._monotonic()
        return now >= self._until and now - self._written > _PROVEN_SECONDS

    def raise_trouble(self) -> None:
        """Raise the error with which transactions fail."""
        error = self._error
        if error is not None:
            raise type(error)(error.message)

    @contextmanager
    def watching_write(self) -> Iterator[None]:
        """Watch one writing transaction."""
        with self.watching_read():
            yield
        self._written = self._monotonic()
        if self._error is not None:
            self._recover()

    @contextmanager
    def watching_read(self) -> Iterator[None]:
        """Watch one reading transaction, which proves nothing if it succeeds."""
        try:
            yield
        except DatabaseUnavailable as error:
            self._fail(error)
            raise

    def _fail(self, error: DatabaseUnavailable) -> None:
        with self._changing:
            now = self._monotonic()
            if self._error is None:
                self._began = now
            is_damage = isinstance(error, DatabaseDamaged)
            until = now + (_DAMAGE_SECONDS if is_damage else _TROUBLE_SECONDS)
            if until >= self._until or self._error is None:
                self._error, self._until = error, until
            pause = REMINDER_SECONDS if self._is_logged else _QUIET_SECONDS
            if now - self._logged < pause:
                return
            self._is_logged, self._logged = True, now
        log(ServiceAction.DATABASE_UNAVAILABLE, reason=error.message)

    def _recover(self) -> None:
        with self._changing:
            now = self._monotonic()
            if self._error is None or now < self._until:
                return
            self._error = None
            was_logged, self._is_logged = self._is_logged, False
            seconds = now - self._began
        if was_logged:
            log(ServiceAction.DATABASE_AVAILABLE, seconds=seconds)
