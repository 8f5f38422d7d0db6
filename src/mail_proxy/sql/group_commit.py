"""Group commit: one writing thread, and one commit for all waiting transactions."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection

from mail_proxy.errors import DatabaseUnavailable

#: Longest time of a group, so that no transaction waits long for the work of the others.
_LONGEST_SECONDS = 0.02
_MOST_WORKS = 64


class _Order(NamedTuple):
    work: Callable[..., Any]
    arguments: tuple[Any, ...]
    context: contextvars.Context
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]

    def run(self, connection: Connection) -> Any:
        """Run the work in the context of its caller, so that log lines name the request."""
        return self.context.run(self.work, connection, *self.arguments)


class GroupCommitter:
    """Queue of transactions: those that wait at the same time share one commit.

    A commit waits for the disk, which is most of the time that a small transaction takes. If one
    transaction of a group fails, the group is rolled back and each runs again by itself. So they
    share nothing except the commit.
    """

    def __init__(self, transact: Callable[..., Any]) -> None:
        """Use ``transact(work, *arguments)`` to run work in a transaction and commit it."""
        self._transact = transact
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_open = True
        self._is_closed = False
        self._has_begun = False

    async def run(self, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Run ``work`` and return its result after the commit.

        Cancelling does not undo it. Raises RuntimeError after ``close``, as an executor does.
        """
        if self._is_closed:
            raise RuntimeError("the database is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="db-write", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()
        self._orders.put(_Order(work, arguments, context, loop, future))
        return await future

    def close(self) -> None:
        """Finish every transaction and block until then. Closing twice changes nothing."""
        self._is_closed = True
        if self._thread is not None:
            self._orders.put(None)
            self._thread.join()

    def _run(self) -> None:
        while self._is_open:
            order = self._orders.get()
            if order is None:
                return
            group = [order]
            self._has_begun = False
            try:
                results = self._transact(self._fill, group)
            except BaseException as error:  # noqa: BLE001 - raised to the caller
                if isinstance(error, DatabaseUnavailable) and not self._has_begun:
                    # No transaction could begin. The others have waited as long, so they fail too.
                    group += self._waiting()
                    _answer(group, [(None, type(error)(error.message)) for _ in group])
                elif len(group) == 1:
                    _answer(group, [(None, error)])
                else:
                    # Either one transaction failed, or the disk did, for all of them.
                    _answer(group, [self._alone(each) for each in group])
            else:
                _answer(group, [(result, None) for result in results])

    def _fill(self, connection: Connection, group: list[_Order]) -> list[Any]:
        """Run the transactions of ``group``, and add those that arrive meanwhile."""
        self._has_begun = True
        started = time.monotonic()
        results: list[Any] = []
        while True:
            todo = group[len(results) :]
            results += [order.run(connection) for order in todo]
            is_full = len(group) >= _MOST_WORKS or time.monotonic() - started > _LONGEST_SECONDS
            if is_full or not self._is_open or self._orders.empty():
                return results
            more = self._orders.get()
            if more is None:
                self._is_open = False
            else:
                group.append(more)

    def _waiting(self) -> list[_Order]:
        """Take and return every order that waits now."""
        found: list[_Order] = []
        for _ in range(self._orders.qsize()):
            order = self._orders.get()
            if order is None:
                self._is_open = False
                break
            found.append(order)
        return found

    def _alone(self, order: _Order) -> tuple[Any, BaseException | None]:
        try:
            return self._transact(order.run), None
        except BaseException as error:  # noqa: BLE001 - raised to the caller
            return None, error


def _answer(group: list[_Order], results: list[tuple[Any, BaseException | None]]) -> None:
    """Set the result of each order, with one call to each event loop."""
    of_loops: dict[asyncio.AbstractEventLoop, list[Any]] = {}
    for order, result in zip(group, results, strict=True):
        of_loops.setdefault(order.loop, []).append((order.future, *result))
    for loop, answers in of_loops.items():
        try:
            loop.call_soon_threadsafe(_settle, answers)
        except RuntimeError:
            continue  # the loop is closed, so no caller waits any more


def _settle(answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, result, error in answers:
        if future.done():
            continue  # cancelled
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
