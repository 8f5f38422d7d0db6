"""One account's share of the work: claimed messages in order, and those who send them."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable

from mail_proxy.domain.account import Account
from mail_proxy.kit.clock import Clock
from mail_proxy.sql.messages.queue import ClaimedMessage

_SMALLEST_CAPACITY = 20
_LARGEST_CAPACITY = 500
#: A lane that runs low again sooner than this asks for too little: each claim has its price.
_SHORT_SUPPLY_SECONDS = 0.25
#: A message that lay here longer than this was claimed too early.
_LONG_WAIT_SECONDS = 1.0
#: How long a server's word that it takes no more connections is believed.
_CROWDED_SECONDS = 60.0
#: A server that answered so lately does work; a refused connection is one too many.
_LATELY_SECONDS = 10.0


class Lane:
    """Buffers claimed messages of one account and keeps its connections busy.

    ``capacity`` follows what the server takes in about a second, so that a fast server never
    waits for the database and a slow one does not hoard messages that others could send.
    """

    def __init__(
        self,
        account: Account,
        send: Callable[[Lane, ClaimedMessage], Awaitable[None]],
        on_low: Callable[[], None],
        clock: Clock,
    ) -> None:
        """``send`` delivers and records one message; ``on_low`` is called when more fits."""
        self.account = account
        self.capacity = _SMALLEST_CAPACITY
        self.may_have_more = True
        self.probing = False
        self._send = send
        self._hungry = on_low
        self._clock = clock
        self._waiting: list[tuple[int, float, str, float, ClaimedMessage]] = []
        self._workers: set[asyncio.Task[None]] = set()
        self._most_workers = account.login.max_connections
        self._crowded_until = 0.0
        self._size_in_hand = 0
        self._worked_at = -_LATELY_SECONDS
        self._asked = False
        self._asked_at = -_SHORT_SUPPLY_SECONDS

    @property
    def room(self) -> int:
        """How many messages fit now."""
        return max(0, self.capacity - len(self._waiting))

    @property
    def load(self) -> int:
        """Messages that are claimed and not finished."""
        return len(self._waiting) + len(self._workers)

    @property
    def size(self) -> int:
        """Bytes of the messages that are claimed and not finished."""
        return self._size_in_hand + sum(entry[-1].size for entry in self._waiting)

    @property
    def runs_low(self) -> bool:
        """Whether it is time to claim more."""
        return self.may_have_more and len(self._waiting) <= self.capacity // 2

    def supplied(self, *, may_have_more: bool) -> None:
        """A round of claims has been here."""
        self.may_have_more = may_have_more
        self._asked = False

    def add(self, message: ClaimedMessage) -> None:
        """Queue a claimed message; more urgent ones overtake."""
        entry = (message.priority, message.due_at, message.pk, self._clock.monotonic(), message)
        heapq.heappush(self._waiting, entry)
        if len(self._workers) < min(self._allowed_workers(), self.load):
            worker = asyncio.create_task(self._work(), name=f"lane {self.account.id}")
            self._workers.add(worker)
            # Cancelled before its first step, it never gets to its own end.
            worker.add_done_callback(self._workers.discard)

    def worked(self) -> None:
        """The account's server has answered about a message."""
        self._worked_at = self._clock.monotonic()

    def crowded(self, message: ClaimedMessage) -> bool:
        """A connection was refused while others work: send ``message`` over one of those.

        False when there are no others; then the account as a whole is in trouble.
        """
        now = self._clock.monotonic()
        if len(self._workers) <= 1 or now - self._worked_at > _LATELY_SECONDS:
            return False
        self._most_workers = min(self._most_workers, len(self._workers) - 1)
        self._crowded_until = now + _CROWDED_SECONDS
        entry = (message.priority, message.due_at, message.pk, now, message)
        heapq.heappush(self._waiting, entry)
        return True

    def drop_waiting(
        self, which: Callable[[ClaimedMessage], bool] = lambda message: True
    ) -> list[ClaimedMessage]:
        """Take out what no worker has begun."""
        dropped = [entry[-1] for entry in self._waiting if which(entry[-1])]
        if dropped:
            self._waiting = [entry for entry in self._waiting if not which(entry[-1])]
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

    def _allowed_workers(self) -> int:
        if self._clock.monotonic() >= self._crowded_until:
            self._most_workers = self.account.login.max_connections
        return self._most_workers

    async def _work(self) -> None:
        try:
            while self._waiting and len(self._workers) <= self._allowed_workers():
                *_, since, message = heapq.heappop(self._waiting)
                self._adapt(since)
                self._size_in_hand += message.size
                try:
                    await self._send(self, message)
                finally:
                    self._size_in_hand -= message.size
        finally:
            # At once, so that of two that are one too many only one goes.
            self._workers.discard(asyncio.current_task())
            if self.runs_low and not self._asked:
                # What did not fit beside the message in hand may do so now.
                self._ask()

    def _adapt(self, since: float) -> None:
        if self.runs_low:
            if not self._asked:
                self._ask()
        elif self._clock.monotonic() - since > _LONG_WAIT_SECONDS:
            self.capacity = max(self.capacity // 2, _SMALLEST_CAPACITY)

    def _ask(self) -> None:
        now = self._clock.monotonic()
        if now - self._asked_at < _SHORT_SUPPLY_SECONDS:
            self.capacity = min(self.capacity * 2, _LARGEST_CAPACITY)
        self._asked = True
        self._asked_at = now
        self._hungry()
