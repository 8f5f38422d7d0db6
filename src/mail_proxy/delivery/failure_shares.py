"""Share of each tenant in connections that may fail."""

from __future__ import annotations

from mail_proxy.kit.clock import Clock

#: Accounts of one tenant that are tried at once without a sign that they work. So many may also
#: fail one after the other without a pause.
MOST_TRIALS = 100
#: Each failure costs about 10 ms of processor time: a tenant whose accounts all fail has a
#: twentieth of one processor.
_FAILURES_EACH_SECOND = 5.0
#: Tokens are given out so many at a time, because each round looks at all accounts that wait.
_PORTION = 10


class FailureShares:
    """Token bucket of account failures for each tenant, in this process.

    Accounts whose server answers take nothing from it. A tenant with thousands of accounts that
    all fail tries five of them each second, so that the accounts of others do not wait.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: By tenant: the tokens at a time (monotonic). A full bucket has no entry.
        self._left: dict[str, tuple[float, float]] = {}

    def failed(self, tenant_id: str) -> None:
        """Take a token: an account of the tenant has failed."""
        left = self._refilled(tenant_id) - 1
        self._left[tenant_id] = max(left, -MOST_TRIALS), self._clock.monotonic()

    def spent(self) -> dict[str, int]:
        """Return how many accounts each tenant may try whose bucket is not full."""
        for tenant_id in list(self._left):
            if self._refilled(tenant_id) >= MOST_TRIALS:
                del self._left[tenant_id]
        left = {tenant_id: self._refilled(tenant_id) for tenant_id in self._left}
        return {tenant_id: int(tokens // _PORTION) * _PORTION for tenant_id, tokens in left.items()}

    @property
    def next_at(self) -> float | None:
        """When (Unix seconds) a tenant that may try no account may try some, or None."""
        empty = [left for tenant_id in self._left if (left := self._refilled(tenant_id)) < _PORTION]
        if not empty:
            return None
        return self._clock.now() + (_PORTION - max(empty)) / _FAILURES_EACH_SECOND

    def _refilled(self, tenant_id: str) -> float:
        now = self._clock.monotonic()
        left, since = self._left.get(tenant_id, (MOST_TRIALS, now))
        return min(MOST_TRIALS, left + (now - since) * _FAILURES_EACH_SECOND)
