"""Keeps the queue's index free of what is suspended, and puts it back afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mail_proxy.kit.wakeup import Wakeup
from mail_proxy.kit.worker import Worker
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.chunks import MOST_ROWS, ChunkedWork
from mail_proxy.sql.messages.suspended import Batch, SuspendedMessages

_POLL_SECONDS = 5.0


class SuspensionSweep:
    """Holds and releases messages of batches. Any number of processes may do it at once."""

    def __init__(
        self,
        db: SqlDb,
        messages: SuspendedMessages,
        released: Callable[[], None],
        *,
        slice_size: int = MOST_ROWS,
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        """``released`` is called after messages were put back into the queue. ``slice_size`` is
        the most that are moved at once.

        ``poll_seconds`` is how often new messages of suspended batches are looked for, and what
        other processes left.
        """
        self._db = db
        self._messages = messages
        self._released = released
        self._slices = ChunkedWork(db, most=slice_size)
        self._poll_seconds = poll_seconds
        self._bell = Wakeup()
        self._worker = Worker("suspension", self._step)

    def start(self) -> None:
        """Start sweeping; needs a running event loop."""
        self._bell.ring()
        self._worker.start()

    async def stop(self) -> None:
        """Stop after the slice in hand."""
        await self._worker.stop()

    def wake(self) -> None:
        """Something may have been suspended or activated."""
        self._bell.ring()

    async def sweep(self) -> None:
        """Bring the queue in line with the suspensions, each batch in turn."""
        to_hold, to_release = await self._db.read(self._messages.unsettled)
        while to_hold or to_release:
            to_release = await self._move(self._messages.release, to_release, self._released)
            to_hold = await self._move(self._messages.hold, to_hold)

    async def _step(self) -> None:
        await self._bell.wait(self._poll_seconds)
        await self.sweep()

    async def _move(
        self,
        move: Callable[[Connection, Batch, int], int],
        batches: Sequence[Batch],
        moved: Callable[[], None] = lambda: None,
    ) -> list[Batch]:
        """One slice of each batch; returns the batches that may have more."""
        rest = []
        for batch in batches:
            size = self._slices.size
            count = await self._slices.one(move, batch, size)
            if count:
                moved()
            if count == size:
                rest.append(batch)
        return rest
