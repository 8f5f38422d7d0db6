"""One account's claimed messages in order, and the tasks that send them."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable

from mail_proxy.domain.account import Account
from mail_proxy.kit.clock import Clock
from mail_proxy.sql.messages.queue import ClaimedMessage

_SMALLEST_CAPACITY = 20
_LARGEST_CAPACITY = 500
#: A lane that runs low again sooner than this asks for too little: each claim is expensive.
_SHORT_SUPPLY_SECONDS = 0.25
#: A message that waited in the lane for longer than this was claimed too early.
_LONG_WAIT_SECONDS = 1.0
#: How long a server that refused one more connection is not asked for one again.
_CROWDED_SECONDS = 60.0
#: If a server has answered within this time, a refused connection means "one too many" and
#: not "out of order".
_RECENT_ANSWER_SECONDS = 10.0


class Lane:
    """Buffers claimed messages of one account and keeps its connections busy.

    ``capacity`` follows what the server takes in about a second. So a fast server never
    waits for the database, and a slow one does not hoard messages that other dispatchers could
    send.
    """

    def __init__(
        self,
        account: Account,
        carry: Callable[[Lane, ClaimedMessage], Awaitable[None]],
        on_low: Callable[[], None],
        clock: Clock,
    ) -> None:
        """``carry`` delivers a message, and others behind it; it calls ``done`` for each.

        ``on_low`` is called when more messages fit.
        """
        self.account = account
        self.capacity = _SMALLEST_CAPACITY
        self._carry = carry
        self._on_low = on_low
        self._clock = clock
        self._waiting: list[tuple[int, float, str, float, ClaimedMessage]] = []
        self._workers: set[asyncio.Task[None]] = set()
        self._most_workers = account.login.max_connections
        self._crowded_until = 0.0
        self._in_hand = 0
        self._size_in_hand = 0
        self._answered_at = -_RECENT_ANSWER_SECONDS
        #: Whether the server has answered about a message, and the account not failed since.
        self.is_working = False
        #: Whether the queue may hold more due messages than were claimed.
        self._may_have_more = True
        self._is_probing = False
        self._asked = False
        self._asked_at = -_SHORT_SUPPLY_SECONDS

    @property
    def room(self) -> int:
        """Number of messages that fit into the lane now."""
        return max(0, self.capacity - len(self._waiting))

    @property
    def load(self) -> int:
        """Messages that are claimed and not finished."""
        return len(self._waiting) + self._in_hand

    @property
    def size(self) -> int:
        """Bytes (``ClaimedMessage.size``) of messages that are claimed and not finished."""
        return self._size_in_hand + sum(entry[-1].size for entry in self._waiting)

    @property
    def is_forgettable(self) -> bool:
        """True if nothing is in the lane, and a new one would do as well."""
        return not (self.is_working or self._workers or self.load)

    @property
    def runs_low(self) -> bool:
        """True if the lane should claim: half of it is free, and more may be due."""
        return self._may_have_more and len(self._waiting) <= self.capacity // 2

    def note_more(self) -> None:
        """Note that the account may have due messages that are not claimed yet."""
        self._may_have_more = True

    def supplied(self, *, may_have_more: bool) -> None:
        """Note the end of a round of claims, and whether it left messages in the queue."""
        self._may_have_more = may_have_more
        self._asked = False

    def note_probe(self, *, is_probe: bool) -> None:
        """Note whether the claimed message is a probe of a paused account."""
        self._is_probing = is_probe

    def end_probe(self) -> bool:
        """Return whether a probe was under way, and end it."""
        was_probing, self._is_probing = self._is_probing, False
        return was_probing

    def add(self, message: ClaimedMessage) -> None:
        """Queue a claimed message; more urgent ones overtake."""
        self._push(message)
        if len(self._workers) < min(self._allowed_workers(), self.load):
            worker = asyncio.create_task(self._work(), name=f"lane {self.account.id}")
            self._workers.add(worker)
            # A task that is cancelled before its first step never reaches its own cleanup.
            worker.add_done_callback(self._workers.discard)

    def take(self) -> ClaimedMessage | None:
        """Take the next message to send; None if none waits or a worker is too many.

        It counts as claimed until ``done`` is called with it.
        """
        if not self._waiting or len(self._workers) > self._allowed_workers():
            return None
        *_, since, message = heapq.heappop(self._waiting)
        self._adapt_capacity(since)
        self._in_hand += 1
        self._size_in_hand += message.size
        return message

    def done(self, message: ClaimedMessage) -> None:
        """Stop counting a message that ``take`` returned."""
        self._in_hand -= 1
        self._size_in_hand -= message.size

    def answered(self) -> None:
        """Note that the account's server has answered about a message."""
        self._answered_at = self._clock.monotonic()
        self.is_working = True

    def failed(self) -> None:
        """Note that the account's server cannot be used."""
        self.is_working = False

    def crowded(self, message: ClaimedMessage, *, others_work: bool = False) -> bool:
        """Put ``message`` back if its connection was refused while other connections work.

        Then one connection fewer is used for a minute. Returns False if no other connection
        works: then the account as a whole is in trouble. ``others_work``: others are open. A
        server that has answered recently is as good.
        """
        now = self._clock.monotonic()
        has_answered = now - self._answered_at <= _RECENT_ANSWER_SECONDS
        if len(self._workers) <= 1 or not (others_work or has_answered):
            return False
        self._most_workers = min(self._most_workers, len(self._workers) - 1)
        self._crowded_until = now + _CROWDED_SECONDS
        self._push(message)
        return True

    def drop_waiting(
        self, which: Callable[[ClaimedMessage], bool] = lambda message: True
    ) -> list[ClaimedMessage]:
        """Take out the messages that no worker has begun."""
        dropped = [entry[-1] for entry in self._waiting if which(entry[-1])]
        if dropped:
            self._waiting = [entry for entry in self._waiting if not which(entry[-1])]
            heapq.heapify(self._waiting)
        return dropped

    async def finish(self) -> None:
        """Wait until the workers have finished the messages that they have begun."""
        while self._workers:
            await asyncio.wait(self._workers)

    def cancel(self) -> None:
        """Abort the messages that the workers have begun."""
        for worker in self._workers:
            worker.cancel()

    def _push(self, message: ClaimedMessage) -> None:
        now = self._clock.monotonic()
        entry = (message.priority, message.due_at, message.pk, now, message)
        heapq.heappush(self._waiting, entry)

    def _allowed_workers(self) -> int:
        if self._clock.monotonic() >= self._crowded_until:
            self._most_workers = self.account.login.max_connections
        return self._most_workers

    async def _work(self) -> None:
        try:
            while (message := self.take()) is not None:
                await self._carry(self, message)
        finally:
            # At once, so that of two workers that are one too many only one ends.
            self._workers.discard(asyncio.current_task())
            if self.runs_low and not self._asked:
                # A message that did not fit beside the one just finished may fit now.
                self._ask()

    def _adapt_capacity(self, since: float) -> None:
        """Ask for more if the lane runs low; halve the capacity if messages wait too long.

        Each claim costs a transaction, so a fast server needs many messages a claim: a lane that
        asks again within a quarter of a second doubles its capacity. Claimed messages are
        invisible to other dispatchers and are sent late if this process dies, so a slow
        server should hold few: a message that waited (since ``since``, monotonic) for over a
        second in a lane that does not run low halves it.
        """
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
        self._on_low()
