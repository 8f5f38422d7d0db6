"""One account's share of the work: claimed messages in order, and those who send them."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable

from mail_proxy.domain.account import Account
from mail_proxy.kit.clock import Clock
from mail_proxy.sql.tables.queue import ClaimedMessage

_SMALLEST_CAPACITY = 20
_LARGEST_CAPACITY = 500
#: A message that lay here longer than this was claimed too early.
_LONG_WAIT_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 900.0


class Lane:
    """Buffers claimed messages of one account and keeps its connections busy.

    ``capacity`` follows what the server takes in about a second, so that a fast server never
    waits for the database and a slow one does not hoard messages that others could send.
    """

    def __init__(
        self,
        account: Account,
        send: Callable[[Lane, ClaimedMessage], Awaitable[None]],
        hungry: Callable[[], None],
        clock: Clock,
    ) -> None:
        """``send`` delivers and records one message; ``hungry`` is called when more fits."""
        self.account = account
        self.capacity = _SMALLEST_CAPACITY
        self.may_have_more = True
        self._send = send
        self._hungry = hungry
        self._clock = clock
        self._waiting: list[tuple[int, float, str, float, ClaimedMessage]] = []
        self._workers: set[asyncio.Task[None]] = set()
        self._paused_until = 0.0
        self._pause_seconds = 0.0

    @property
    def room(self) -> int:
        """How many messages fit now; while paused none, but for the one that probes."""
        if self._pause_seconds:
            now = self._clock.monotonic()
            return int(now >= self._paused_until and not self._waiting and not self._workers)
        return max(0, self.capacity - len(self._waiting))

    @property
    def load(self) -> int:
        """Messages that are claimed and not finished."""
        return len(self._waiting) + len(self._workers)

    @property
    def resumes_in(self) -> float | None:
        """Seconds until a paused account is probed; None when it is not paused."""
        if not self._pause_seconds:
            return None
        return max(0.0, self._paused_until - self._clock.monotonic())

    def add(self, message: ClaimedMessage) -> None:
        """Queue a claimed message; more urgent ones overtake."""
        now = self._clock.monotonic()
        entry = (message.priority, message.due_at, message.pk, now, message)
        heapq.heappush(self._waiting, entry)
        most = 1 if self._pause_seconds else self.account.login.max_connections
        if len(self._workers) < min(most, len(self._waiting) + len(self._workers)):
            worker = asyncio.create_task(self._work(), name=f"lane {self.account.id}")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    def pause(self) -> float:
        """Stop using the account for a while; returns for how many seconds.

        What waits here is dropped by the caller. Each pause doubles the last, up to 15 minutes.
        """
        if self.resumes_in:
            return self.resumes_in
        doubled = self._pause_seconds * 2 or _FIRST_PAUSE_SECONDS
        self._pause_seconds = min(doubled, _LONGEST_PAUSE_SECONDS)
        self._paused_until = self._clock.monotonic() + self._pause_seconds
        return self._pause_seconds

    def resume(self) -> None:
        """The account works, or was saved anew."""
        if self._pause_seconds:
            self._pause_seconds = 0.0
            self._hungry()

    def drop_waiting(
        self, unwanted: Callable[[ClaimedMessage], bool] = lambda _: True
    ) -> list[ClaimedMessage]:
        """Take out what no worker has begun, of that what is ``unwanted``."""
        dropped = [entry[-1] for entry in self._waiting if unwanted(entry[-1])]
        self._waiting[:] = [entry for entry in self._waiting if not unwanted(entry[-1])]
        heapq.heapify(self._waiting)
        return dropped

    async def finish(self) -> None:
        """Wait for what the workers have in hand."""
        while self._workers:
            await asyncio.wait(self._workers)

    def cancel(self) -> None:
        """Break off what the workers have in hand."""
        for worker in self._workers:
            worker.cancel()

    async def _work(self) -> None:
        while self._waiting:
            *_, since, message = heapq.heappop(self._waiting)
            self._adapt(since)
            await self._send(self, message)

    def _adapt(self, since: float) -> None:
        if self.may_have_more and len(self._waiting) <= self.capacity // 2:
            if not self._waiting:
                self.capacity = min(self.capacity * 2, _LARGEST_CAPACITY)
            self._hungry()
        elif self._clock.monotonic() - since > _LONG_WAIT_SECONDS:
            self.capacity = max(self.capacity // 2, _SMALLEST_CAPACITY)
