"""The right to send: held while the database hears from this process in time."""

from __future__ import annotations

import os

from mail_proxy.config import LONGEST_LEASE_SECONDS
from mail_proxy.delivery.limiter import RateLimiter
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.ids import uuid7
from mail_proxy.kit.liveness import lives, process_space
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.messages.queue import MessageQueue
from mail_proxy.telemetry.log import Action, log

#: Stop sending this share of the lease before others may take over.
_SAFETY = 0.2


class Lease:
    """One for each dispatcher. While ``valid``, nobody else sends what it has claimed."""

    def __init__(
        self,
        db: SqlDb,
        queue: MessageQueue,
        limiter: RateLimiter,
        clock: Clock,
        seconds: float,
        host: str | None = None,
    ) -> None:
        """``host`` names the set of processes among which a process id means one process."""
        self._db = db
        self._queue = queue
        self._limiter = limiter
        self._clock = clock
        self._seconds = seconds
        self._valid_until = 0.0
        #: Of each other dispatcher the last sign of life, and when (monotonic) that is too old.
        self._heard: dict[str, tuple[float, float]] = {}
        self._host = host or process_space()
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

    async def keep(self, *, anew: bool = False) -> int:
        """Take or prolong the lease and give back what nobody sends any more; returns how many.

        Where others have taken it away, or it has run out meanwhile, it is not ``valid`` then.
        ``anew``: it was not valid, and everything was broken off. It comes back under a new id:
        what was claimed before belongs to others, and what is still claimed is given back too.
        """
        asked = self._clock.monotonic()
        kept = await self._db.write(self._keep, self._clock.now(), asked, anew)
        if kept is None:
            self._valid_until = 0.0
            return 0
        if anew:
            log(Action.LEASE_LOST, dispatcher_id=self.dispatcher_id)
        # Whoever has seen that it was over has broken off what only ``anew`` gives back.
        is_too_late = bool(self.dispatcher_id) and not anew and not self.valid
        self.dispatcher_id, rescued = kept
        self._valid_until = 0.0 if is_too_late else asked + self._seconds * (1 - _SAFETY)
        if rescued:
            log(Action.LEASE_RESCUED, messages=rescued)
        return rescued

    async def give_up(self) -> int:
        """Hand back everything that is claimed and not sent; returns how many."""
        self._valid_until = 0.0
        if not self.dispatcher_id:
            return 0
        return await self._db.write(self._queue.hand_back, self.dispatcher_id)

    def _keep(
        self, connection: Connection, now: float, asked: float, anew: bool
    ) -> tuple[str, int] | None:
        """The id under which it holds now, and how many messages were given back."""
        own, until, left = self.dispatcher_id, now + self._seconds, 0
        if anew:
            left = self._queue.hand_back(connection, own)
        if anew or not own:
            own = uuid7()
            self._queue.register(connection, own, self._host, os.getpid(), now, until)
        elif not self._queue.renew(connection, own, until):
            return None
        rescued = self._queue.rescue(connection, self._dead(connection, own, now, asked))
        # Nobody knows which of them a server has accepted already; limits are never exceeded.
        self._limiter.count(connection, [(account, tenant, now) for account, tenant in rescued])
        return own, left + len(rescued)

    def _dead(self, connection: Connection, own: str, now: float, asked: float) -> list[str]:
        """Dispatchers whose process has ended, and those that were silent for a whole lease.

        How long they are silent is measured here, with a clock that does not jump: the wall
        clocks of two hosts may differ, and one that is set must not cost a living one its lease.
        """
        others = [o for o in self._queue.dispatchers(connection) if o.id != own]
        heard = {
            other.id: (other.lease_until, asked + _patience(other.lease_until - now, self._seconds))
            for other in others
        }
        for id_, (lease_until, _) in heard.items():
            before = self._heard.get(id_)
            if before is not None and before[0] == lease_until:
                heard[id_] = before
        self._heard = heard
        return [
            other.id
            for other in others
            if asked >= heard[other.id][1] or (other.host == self._host and not lives(other.pid))
        ]


def _patience(told: float, own: float) -> float:
    """How long a sign of life holds: what it tells, unless the clocks differ too much for that."""
    return told if own < told <= LONGEST_LEASE_SECONDS else own
