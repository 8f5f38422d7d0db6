"""Small writes of many callers, a few dozen to a commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.kit.batching import Batcher
from mail_proxy.kit.worker import caught
from mail_proxy.sql.db import SqlDb

Result = TypeVar("Result")
_Work = tuple[str, Callable[[Connection], Any]]
#: SQLite has one writer: a transaction must leave room for the deliveries' own.
_MOST_A_COMMIT = 50


class GroupedWrites:
    """``SqlDb.write``, but works that wait while a commit runs share the next one.

    A work that raises does not take the others along: each is then done on its own.
    """

    def __init__(self, db: SqlDb, name: str) -> None:
        self._db = db
        self._batcher: Batcher[_Work, Any] = Batcher(name, self._flush, _MOST_A_COMMIT)

    async def write(self, key: str, work: Callable[..., Result], *arguments: Any) -> Result:
        """Return once ``work(connection, *arguments)`` is durable; raises what it raises.

        ``key`` names the row that it locks. Works are done in the order of their keys, so that
        two processes do not wait for each other in a circle.
        """
        result: Result | Exception = await self._batcher.submit(
            (key, lambda c: work(c, *arguments))
        )
        if isinstance(result, Exception):
            raise result
        return result

    async def drained(self) -> None:
        """Wait until everything that was handed over is written."""
        await self._batcher.drained()

    async def _flush(self, works: Sequence[_Work]) -> Sequence[Any]:
        results = await caught(self._db.write(_in_order, works))
        if not isinstance(results, Exception):
            return results
        if len(works) == 1 or isinstance(results, DatabaseUnavailable):
            return [results] * len(works)
        return [result for work in works for result in await self._flush([work])]


def _in_order(connection: Connection, works: Sequence[_Work]) -> list[Any]:
    results: list[Any] = [None] * len(works)
    for place in sorted(range(len(works)), key=lambda place: works[place][0]):
        results[place] = works[place][1](connection)
    return results
