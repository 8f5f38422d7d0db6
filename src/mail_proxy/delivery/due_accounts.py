"""Choose the accounts that a claim looks at: those that may have a due message."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

#: After a scan of all accounts, the next one waits at least this many times as long as it took.
#: So with tens of thousands of accounts, scans take a twentieth of the time at most.
_PATIENCE = 20


@dataclass(frozen=True)
class Scan:
    """Accounts (pk) for one round to look at; None for all that have waiting messages."""

    accounts: frozenset[str] | None


ALL_ACCOUNTS = Scan(None)


class DueAccounts:
    """Remembers which accounts are known to have no due message.

    A scan looks at all accounts after ``mark_all``, and otherwise as often as that costs little.
    In between it looks at the accounts that may have more due messages than were claimed, and
    at those that ``mark`` named because messages were added for them.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._marked: set[str] = set()
        self._more: frozenset[str] = frozenset()
        self._all = True
        self._rested_at = 0.0
        self._due_at = 0.0

    def mark(self, account_pks: Collection[str]) -> None:
        """Include these accounts in the next scan: messages were added for them."""
        self._marked.update(account_pks)

    def mark_all(self) -> None:
        """Include all accounts in the next scan."""
        self._all = True

    def idle(self, seconds: float) -> None:
        """Note that nothing is left to send; scan all accounts in ``seconds``, if cheap."""
        self._due_at = self._monotonic() + seconds

    def begin(self) -> Scan:
        """Return which accounts the next round looks at."""
        now = self._monotonic()
        is_time = bool(self._more) or now >= self._due_at
        is_all = self._all or (is_time and now >= self._rested_at)
        scan = Scan(None if is_all else self._more | self._marked)
        self._all = False
        self._marked.clear()
        return scan

    def end(self, scan: Scan, more: Collection[str], seconds: float) -> None:
        """Note the result of a scan that took ``seconds``.

        ``more`` are the accounts that may have more due messages, of those that were scanned.
        """
        self._more = frozenset(more)
        since = self._monotonic() if scan.accounts is None else self._rested_at
        self._rested_at = since + seconds * _PATIENCE
