"""Decide when a lasting trouble is logged: begin, end, and rarely in between."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

#: Time between two log lines about a trouble that lasts.
REMINDER_SECONDS = 300.0
#: A trouble that comes back sooner than this after its last line is logged later.
_QUIET_SECONDS = 30.0
_MOST_KEYS = 10_000


@dataclass
class _Trouble:
    began: float
    is_over: bool = False
    is_logged: bool = False
    logged: float = float("-inf")


class Troubles:
    """Troubles of one kind, each with a key such as an account; for several threads.

    Only the 10 000 troubles that were noted last are remembered.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        reminder_seconds: float = REMINDER_SECONDS,
    ) -> None:
        self._monotonic = monotonic
        self._reminder_seconds = reminder_seconds
        self._known: OrderedDict[str, _Trouble] = OrderedDict()
        self._lock = threading.Lock()

    def is_due(self, key: str, *, has_just_begun: bool = False) -> bool:
        """Note that a trouble goes on; return whether to log that now.

        ``has_just_begun``: the trouble begins now, even if the end of an earlier one was not noted.
        """
        now = self._monotonic()
        with self._lock:
            trouble = self._known.setdefault(key, _Trouble(now))
            self._known.move_to_end(key)
            if len(self._known) > _MOST_KEYS:
                self._known.popitem(last=False)
            if trouble.is_over or has_just_begun:
                trouble.began, trouble.is_over, trouble.is_logged = now, False, False
            pause = self._reminder_seconds if trouble.is_logged else _QUIET_SECONDS
            if now - trouble.logged < pause:
                return False
            trouble.is_logged, trouble.logged = True, now
            return True

    def is_known(self, key: str) -> bool:
        """Return whether a trouble with this key was noted in this process, and no end."""
        with self._lock:
            return key in self._known and not self._known[key].is_over

    def end(self, key: str) -> float | None:
        """Note the end of a trouble; return its duration if its begin was logged."""
        with self._lock:
            trouble = self._known.get(key)
            if trouble is None or trouble.is_over:
                return None
            trouble.is_over = True
            return self._monotonic() - trouble.began if trouble.is_logged else None
