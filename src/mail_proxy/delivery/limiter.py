"""Count attempts against the rate limits of accounts and tenants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mail_proxy.domain.limits import RateLimit
from mail_proxy.sql import Connection
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables.rate_use import RateUseTable, account_subject, tenant_subject


class RateLimiter:
    """Counter of attempts against rate limits; claims compute the rest from it.

    From its claim to its outcome, a message counts against its limits as one in flight, and
    from then on in a counter for the time of its outcome. So a window that begins at any
    acceptance holds no more than its limit, whichever dispatchers send.
    """

    def __init__(self, use: RateUseTable, directory: Directory) -> None:
        self._use = use
        self._directory = directory

    def count(self, connection: Connection, attempts: Iterable[tuple[str, str, float]]) -> None:
        """Count attempts (account pk, tenant id, Unix seconds) in this transaction."""
        limits: dict[str, Sequence[RateLimit]] = {}
        uses: list[tuple[str, float]] = []
        snapshot = self._directory.snapshot
        for account_pk, tenant_id, instant in attempts:
            account = snapshot.accounts.get(account_pk)
            tenant = snapshot.tenants.get(tenant_id)
            if account is not None and account.limits:
                limits[account_subject(account_pk)] = account.limits
                uses.append((account_subject(account_pk), instant))
            if tenant is not None and tenant.limits:
                limits[tenant_subject(tenant_id)] = tenant.limits
                uses.append((tenant_subject(tenant_id), instant))
        if uses:
            self._use.add(connection, limits, uses)
