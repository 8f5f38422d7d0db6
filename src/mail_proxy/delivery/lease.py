"""Lease of a dispatcher: the right to send the messages that it has claimed."""

from __future__ import annotations

import os

from mail_proxy.config import LONGEST_LEASE_SECONDS
from mail_proxy.delivery.limiter import RateLimiter
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.ids import uuid7
from mail_proxy.kit.liveness import is_running, process_space
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.messages.queue import MessageQueue
from mail_proxy.telemetry.log import Action, log

#: Stop sending this share of the lease before others may take over.
_SAFETY = 0.2


class Lease:
    """A dispatcher's registration in the database, renewed before it runs out.

    While it is ``valid``, no other dispatcher sends the messages claimed under its id.
    """

    def __init__(
        self,
        db: SqlDb,
        queue: MessageQueue,
        limiter: RateLimiter,
        clock: Clock,
        seconds: float,
        host: str | None = None,
    ) -> None:
        """``host`` names the set of processes in which a process id is unique."""
        self._db = db
        self._queue = queue
        self._limiter = limiter
        self._clock = clock
        self._seconds = seconds
        self._valid_until = 0.0
        #: The last sign of life of each other dispatcher, and when (monotonic) it is too old.
        self._last_signs: dict[str, tuple[float, float]] = {}
        self._host = host or process_space()
        self.dispatcher_id = ""

    @property
    def valid(self) -> bool:
        """True if the lease holds, so that claimed messages may be sent now."""
        return self._clock.monotonic() < self._valid_until

    @property
    def next_step_seconds(self) -> float:
        """Seconds until ``valid`` should be checked and ``keep`` called again."""
        left = self._valid_until - self._clock.monotonic()
        return min(self._seconds / 3, left) if left > 0 else self._seconds / 30

    async def keep(self, *, reacquire: bool = False) -> int:
        """Take or renew the lease; return messages of dead dispatchers to the queue.

        Returns how many. If another dispatcher has taken the lease away, or it ran out
        meanwhile, it is not ``valid`` afterwards.

        ``reacquire``: the lease had expired and all sends were aborted. Register under a new
        id and return every message still claimed under the old one.
        """
        asked = self._clock.monotonic()
        kept = await self._db.write(self._keep, self._clock.now(), asked, reacquire)
        if kept is None:
            self._valid_until = 0.0
            return 0
        if reacquire:
            log(Action.LEASE_LOST, dispatcher_id=self.dispatcher_id)
        # The watch has seen the lease expired and aborted sends that only `reacquire` gives back.
        is_too_late = bool(self.dispatcher_id) and not reacquire and not self.valid
        self.dispatcher_id, rescued = kept
        self._valid_until = 0.0 if is_too_late else asked + self._seconds * (1 - _SAFETY)
        if rescued:
            log(Action.LEASE_RESCUED, messages=rescued)
        return rescued

    async def give_up(self) -> int:
        """Return every claimed message that was not sent to the queue; returns how many."""
        self._valid_until = 0.0
        if not self.dispatcher_id:
            return 0
        return await self._db.write(self._queue.hand_back, self.dispatcher_id)

    def _keep(
        self, connection: Connection, now: float, asked: float, reacquire: bool
    ) -> tuple[str, int] | None:
        """Return the lease's id and how many messages were given back; None if lost."""
        own, until, left = self.dispatcher_id, now + self._seconds, 0
        if reacquire:
            left = self._queue.hand_back(connection, own)
        if reacquire or not own:
            own = uuid7()
            self._queue.register(connection, own, self._host, os.getpid(), now, until)
        elif not self._queue.renew(connection, own, until):
            return None
        rescued = self._queue.rescue(connection, self._dead(connection, own, now, asked))
        # A server may have accepted some of them. Limits must not be exceeded, so all count.
        self._limiter.count(connection, [(account, tenant, now) for account, tenant in rescued])
        return own, left + len(rescued)

    def _dead(self, connection: Connection, own: str, now: float, asked: float) -> list[str]:
        """Return dispatchers whose process ended or that were silent for a whole lease.

        The silence is measured here, with a monotonic clock. The wall clocks of two hosts may
        differ, and setting one must not cost a running dispatcher its lease.
        """
        others = [o for o in self._queue.dispatchers(connection) if o.id != own]
        last_signs = {
            other.id: (other.lease_until, asked + _patience(other.lease_until - now, self._seconds))
            for other in others
        }
        for id_, (lease_until, _) in last_signs.items():
            before = self._last_signs.get(id_)
            if before is not None and before[0] == lease_until:
                last_signs[id_] = before
        self._last_signs = last_signs
        return [
            other.id
            for other in others
            if asked >= last_signs[other.id][1]
            or (other.host == self._host and not is_running(other.pid))
        ]


def _patience(announced: float, own: float) -> float:
    """Return how long a sign of life holds: as announced, unless clocks differ much."""
    return announced if own < announced <= LONGEST_LEASE_SECONDS else own
