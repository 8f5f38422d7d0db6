"""What a process has of one resource, parted among tenants and their accounts."""

from __future__ import annotations

from collections import Counter

#: A share may grow to so many times of what stays free beside it.
_SHARE_TO_FREE = 4


class FairBudget:
    """Counts who holds how much of ``total``, and tells who may have more.

    A tenant holds at most four times what it leaves free, and an account at most four times
    what it leaves of its tenant's room. So whoever holds on to all that it can get, because its
    server hangs, leaves something to the next one. Whoever holds nothing may have one as long
    as there is one.
    """

    def __init__(self, total: int) -> None:
        self.free = total
        self._of_accounts: Counter[str] = Counter()
        self._of_tenants: Counter[str] = Counter()

    def copy(self) -> FairBudget:
        """To count on without touching this one."""
        other = FairBudget(self.free)
        other._of_accounts.update(self._of_accounts)
        other._of_tenants.update(self._of_tenants)
        return other

    def held(self, account_pk: str) -> int:
        return self._of_accounts[account_pk]

    def room(self, account_pk: str, tenant_id: str) -> int:
        """How much more the account may have now."""
        of_tenant = _room(self.free, self._of_tenants[tenant_id])
        return _room(of_tenant, self._of_accounts[account_pk])

    def take(self, account_pk: str, tenant_id: str, amount: int = 1) -> None:
        """Whether there is room is the caller's business."""
        self.free -= amount
        self._of_accounts[account_pk] += amount
        self._of_tenants[tenant_id] += amount


def _room(free: int, held: int) -> int:
    least = 1 if held == 0 and free > 0 else 0
    return max(least, (_SHARE_TO_FREE * free - held) // (_SHARE_TO_FREE + 1))
