"""A timer that is moved for every request, and seldom touches the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """Timer that calls ``action`` at a deadline, which can be moved or cleared.

    A loop timer is made or cancelled only if the new time is earlier than the running timer:
    a busy connection makes about one timer in its keep-alive time.
    """

    __slots__ = ("_action", "_at", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._at = 0.0
        self._action: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float, action: Callable[[], None]) -> None:
        """Replace time and action."""
        self._at = self._loop.time() + seconds
        self._action = action
        timer = self._timer
        if timer is not None:
            if timer.when() <= self._at:
                return
            timer.cancel()
        self._timer = self._loop.call_at(self._at, self._check)

    def clear(self) -> None:
        """Forget the action; the loop timer may still run, without effect."""
        self._action = None

    def stop(self) -> None:
        """Forget the action and cancel the loop timer."""
        self._action = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        self._timer = None
        action = self._action
        if action is None:
            return
        if self._loop.time() < self._at:
            self._timer = self._loop.call_at(self._at, self._check)
        else:
            self._action = None
            action()
