"""Batching: items that arrive during one flush go together into the next."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Batches of items from many callers, each flushed in one call of ``flush``.

    There is no timer. An item that arrives alone is flushed at once, and under load the batches
    grow by themselves. ``flush`` gets at most ``most`` items, in order of arrival, and returns
    one result for each item in the same order. An error of ``flush`` is raised to every caller of
    the batch.
    """

    def __init__(
        self,
        name: str,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        most: int,
    ) -> None:
        self._name = name
        self._flush = flush
        self._most = most
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._flushing = 0
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return the number of submitted items that are not flushed yet."""
        return len(self._waiting) + self._flushing

    def submit(self, item: Item) -> asyncio.Future[Result]:
        """Add an item to the next batch; return a future of its result."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
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
            while self._waiting:
                batch = [
                    self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))
                ]
                self._flushing = len(batch)
                await self._flush_batch(batch)
                self._flushing = 0
        finally:
            self._flushing = 0
            self._task = None

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
