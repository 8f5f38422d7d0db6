"""The right to send: held while the database hears from this process in time."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

from mail_proxy.delivery.limiter import RateLimiter
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.ids import uuid7
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.tables.queue import MessageQueue

_log = logging.getLogger("mail_proxy.delivery")
#: Stop sending this share of the lease before others may take over.
_SAFETY = 0.2


class Lease:
    """One for each dispatcher. While ``valid``, nobody else sends what it has claimed."""

    def __init__(
        self, db: SqlDb, queue: MessageQueue, limiter: RateLimiter, clock: Clock, seconds: float
    ) -> None:
        self._db = db
        self._queue = queue
        self._limiter = limiter
        self._clock = clock
        self._seconds = seconds
        self._valid_until = 0.0
        self._host = _process_space()
        self.dispatcher_id = ""

    @property
    def valid(self) -> bool:
        """Whether claimed messages may be sent now."""
        return self._clock.monotonic() < self._valid_until

    @property
    def next_step_seconds(self) -> float:
        """When ``valid`` is to be looked at and ``keep`` to be called again."""
        left = self._valid_until - self._clock.monotonic()
        return min(self._seconds / 3, left) if left > 0 else self._seconds / 30

    async def keep(self) -> int:
        """Take or prolong the lease and rescue what dead dispatchers held; returns how many.

        After a loss it comes back under a new id: what was claimed before belongs to others.
        """
        asked = self._clock.monotonic()
        rescued = await self._db.write(self._keep, self._clock.now())
        self._valid_until = asked + self._seconds * (1 - _SAFETY)
        if rescued:
            _log.warning("action=lease.rescued messages=%d", rescued)
        return rescued

    async def give_up(self) -> int:
        """Hand back everything that is claimed and not sent; returns how many."""
        self._valid_until = 0.0
        return await self._db.write(self._queue.hand_back, self.dispatcher_id)

    def _keep(self, connection: Connection, now: float) -> int:
        until = now + self._seconds
        if not self.dispatcher_id or not self._queue.renew(connection, self.dispatcher_id, until):
            if self.dispatcher_id:
                _log.warning("action=lease.lost dispatcher=%s", self.dispatcher_id)
            fresh = uuid7()
            self._queue.register(connection, fresh, self._host, os.getpid(), now, until)
            self.dispatcher_id = fresh
        dead = [id_ for id_, pid in self._queue.on_host(connection, self._host) if not _lives(pid)]
        rescued = self._queue.rescue(connection, now, dead)
        # Nobody knows which of them a server has accepted already; limits are never exceeded.
        self._limiter.count(connection, [(account, tenant, now) for account, tenant in rescued])
        return len(rescued)


def _process_space() -> str:
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


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
