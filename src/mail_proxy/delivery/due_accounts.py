"""Which accounts a claim looks at: those that may have something due, not all that wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

#: A look at all accounts is not repeated before this many times of what it took, so that with
#: tens of thousands of them it takes a twentieth of the time at most.
_PATIENCE = 20


@dataclass(frozen=True)
class Scan:
    """Accounts (pk) for one round to look at; None for all that have waiting messages."""

    accounts: frozenset[str] | None


ALL_ACCOUNTS = Scan(None)


class DueAccounts:
    """Remembers which accounts are known to have nothing due.

    All accounts are looked at after ``tell_all``, and from time to time as often as that costs
    little; in between only those that may have more, and those that ``tell`` named because a
    message has come in for them.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._told: set[str] = set()
        self._more: frozenset[str] = frozenset()
        self._all = True
        self._rested_at = 0.0
        self._due_at = 0.0

    def tell(self, account_pks: Collection[str]) -> None:
        """These have got messages."""
        self._told.update(account_pks)

    def tell_all(self) -> None:
        """Any account may have something to send."""
        self._all = True

    def rest(self, seconds: float) -> None:
        """Nothing is left to do; look at all again after so long, if that costs little."""
        self._due_at = self._monotonic() + seconds

    def begin(self) -> Scan:
        """What the next round looks at."""
        now = self._monotonic()
        is_time = bool(self._more) or now >= self._due_at
        look = Scan(None if self._all or (is_time and now >= self._rested_at) else self._some())
        self._all = False
        self._told.clear()
        return look

    def end(self, look: Scan, more: Collection[str], seconds: float) -> None:
        """``more`` are the accounts that may have more that is due, of those looked at.

        ``seconds`` is what looking cost.
        """
        self._more = frozenset(more)
        since = self._monotonic() if look.accounts is None else self._rested_at
        self._rested_at = since + seconds * _PATIENCE

    def _some(self) -> frozenset[str]:
        return self._more | self._told
