"""Divide a per-process budget fairly between tenants and their accounts."""

from __future__ import annotations

from collections import Counter

#: A share may grow to this many times of what stays free.
_SHARE_TO_FREE = 4


class FairBudget:
    """Counts how much of ``total`` each account holds, and how much more it may have.

    A tenant holds at most four times what it leaves free, and an account at most four times
    what it leaves of its tenant's room. So an account that holds all it can get, because its
    server hangs, always leaves a part to the next account. An account that holds nothing may
    have one unit as long as one is free.
    """

    def __init__(self, total: int) -> None:
        self.free = total
        self._of_accounts: Counter[str] = Counter()
        self._of_tenants: Counter[str] = Counter()

    def copy(self) -> FairBudget:
        """Return an independent budget with the same holdings."""
        other = FairBudget(self.free)
        other._of_accounts.update(self._of_accounts)
        other._of_tenants.update(self._of_tenants)
        return other

    def held(self, account_pk: str) -> int:
        """Return how much the account holds."""
        return self._of_accounts[account_pk]

    def room(self, account_pk: str, tenant_id: str) -> int:
        """Return how much more the account may have now."""
        of_tenant = _room(self.free, self._of_tenants[tenant_id])
        return _room(of_tenant, self._of_accounts[account_pk])

    def take(self, account_pk: str, tenant_id: str, amount: int = 1) -> None:
        """Give ``amount`` to the account; the caller checks ``room`` first."""
        self.free -= amount
        self._of_accounts[account_pk] += amount
        self._of_tenants[tenant_id] += amount


def _room(free: int, held: int) -> int:
    least = 1 if held == 0 and free > 0 else 0
    return max(least, (_SHARE_TO_FREE * free - held) // (_SHARE_TO_FREE + 1))
