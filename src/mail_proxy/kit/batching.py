"""Batching: items that arrive during one flush go together into the next."""

from __future__ import annotations

import asyncio
import contextvars
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def _nobody(_item: object) -> None:
    return None


def _nothing(_item: object) -> int:
    return 0


class Batcher(Generic[Item, Result]):
    """Batches of items from many callers, each flushed in one call of ``flush``.

    There is no timer. An item that arrives alone is flushed at once, and under load the batches
    grow by themselves. ``flush`` gets at most ``most`` items, and returns one result for each item
    in the same order. An error of ``flush`` is raised to every caller of the batch.

    Items of one ``owner`` stay in order of arrival, and owners take turns. A batch of several items
    has at most ``most_size`` in all, by ``size_of`` an item. So the small item of one owner does
    not wait for all the large ones of another.
    """

    def __init__(
        self,
        name: str,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        most: int,
        *,
        owner_of: Callable[[Item], Hashable] = _nobody,
        size_of: Callable[[Item], int] = _nothing,
        most_size: int = 0,
    ) -> None:
        self._name = name
        self._flush = flush
        self._most = most
        self._owner_of = owner_of
        self._size_of = size_of
        self._most_size = most_size
        #: By owner; the owner whose turn it is comes first. No line is empty.
        self._lines: OrderedDict[Hashable, deque[tuple[Item, asyncio.Future[Result]]]] = (
            OrderedDict()
        )
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return the number of submitted items that are not flushed yet."""
        return self._count

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Add an item to the next batch; return a future of its result."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        owner = self._owner_of(item)
        line = self._lines.get(owner)
        if line is None:
            line = self._lines[owner] = deque()
        line.append((item, future))
        self._count += 1
        if self._task is None:
            # The task serves many callers: its log lines must not carry the first one's request id.
            empty = contextvars.Context()
            self._task = asyncio.create_task(self._run(), name=self._name, context=empty)
        return future

    async def drained(self) -> None:
        """Wait until every submitted item is flushed."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            # One turn of the loop first: callers that are ready now share the first batch.
            await asyncio.sleep(0)
            while self._lines:
                batch = self._next_batch()
                try:
                    await self._flush_batch(batch)
                finally:
                    self._count -= len(batch)
                    self._put_behind(batch)
        finally:
            self._task = None

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        size = 0
        while self._lines and len(batch) < self._most:
            owner, line = next(iter(self._lines.items()))
            size += self._size_of(line[0][0])
            if batch and size > self._most_size:
                break
            batch.append(line.popleft())
            if line:
                self._lines.move_to_end(owner)
            else:
                del self._lines[owner]
        return batch

    def _put_behind(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        """Put the owners of a flushed batch behind those that came during the flush."""
        if len(self._lines) > 1:
            for owner in dict.fromkeys(self._owner_of(item) for item, _ in batch):
                if owner in self._lines:
                    self._lines.move_to_end(owner)

    async def _flush_batch(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._flush([item for item, _ in batch])
            if len(results) != len(batch):
                raise ValueError(f"{self._name}: {len(results)} results for {len(batch)} items")
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # a caller that went away must not log a warning
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
