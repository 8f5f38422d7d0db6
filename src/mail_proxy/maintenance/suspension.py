"""Take suspended messages out of the queue's index, and put activated ones back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mail_proxy.domain.facts import DirectoryChanged, MessagesReleased
from mail_proxy.kit.bus import Bus
from mail_proxy.kit.wakeup import Wakeup
from mail_proxy.kit.worker import Worker
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.chunks import MOST_ROWS, ChunkedWork
from mail_proxy.sql.messages.suspended import Batch, SuspendedMessages

_POLL_SECONDS = 5.0


class SuspensionSweep:
    """Service that holds and releases messages of suspended batches and tenants.

    Any number of processes may do it at once.
    """

    name = "suspension"

    def __init__(
        self,
        db: SqlDb,
        messages: SuspendedMessages,
        bus: Bus,
        *,
        slice_size: int = MOST_ROWS,
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        """Move at most ``slice_size`` messages in one transaction.

        Every ``poll_seconds`` the sweep looks for new messages of suspended batches, and for
        messages that a process left when it ended.
        """
        self._db = db
        self._messages = messages
        self._bus = bus
        self._slices = ChunkedWork(db, most=slice_size)
        self._poll_seconds = poll_seconds
        self._wakeup = Wakeup()
        self._worker = Worker("suspension", self._step)
        bus.subscribe(DirectoryChanged, lambda _: self._wakeup.ring())

    @property
    def alive(self) -> bool:
        """True if the loop runs."""
        return self._worker.alive

    async def start(self) -> None:
        """Start sweeping."""
        self._wakeup.ring()
        self._worker.start()

    async def stop(self, deadline: float) -> None:
        """Stop at once. A transaction that has begun still ends as a whole."""
        await self._worker.stop()

    async def sweep(self) -> None:
        """Hold and release messages until the queue agrees with the suspensions."""
        to_hold, to_release = await self._db.read(self._messages.unsettled)
        while to_hold or to_release:
            to_release = await self._move(self._messages.release, to_release, releases=True)
            to_hold = await self._move(self._messages.hold, to_hold, releases=False)

    async def _step(self) -> None:
        await self._wakeup.wait(self._poll_seconds)
        await self.sweep()

    async def _move(
        self,
        move: Callable[[Connection, Batch, int], int],
        batches: Sequence[Batch],
        *,
        releases: bool,
    ) -> list[Batch]:
        """Move one slice of each batch; return the batches that may have more."""
        rest = []
        for batch in batches:
            size = self._slices.size
            count = await self._slices.one(move, batch, size)
            if count and releases:
                self._bus.publish(MessagesReleased())
            if count == size:
                rest.append(batch)
        return rest
