"""Checks of the tenant, account and expiry of a message that is handed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mail_proxy.domain.account import Account
from mail_proxy.errors import Malformed
from mail_proxy.operations.callers import Caller
from mail_proxy.sql.directory import Snapshot
from mail_proxy.wire.mistakes import Mistake, mistake
from mail_proxy.wire.new_messages import RejectionCode, WrongMessage


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that cannot be stored, with its mistakes."""

    wrong: list[Mistake]
    code: RejectionCode

    @classmethod
    def because(cls, field: str, message: str, code: RejectionCode) -> Refused:
        """Return the refusal for one wrong field."""
        return cls([mistake(field, message)], code)


def tenant_of(caller: Caller, named: str | None, snapshot: Snapshot) -> str:
    """Return the tenant of a message; raises WrongMessage if it has to be named.

    Raises Forbidden for another tenant's message.
    """
    try:
        return caller.reach(named, snapshot)
    except Malformed as error:
        raise WrongMessage(error.detail, RejectionCode.TENANT_REQUIRED) from None


def account_of(tenant_id: str, named: str | None, snapshot: Snapshot) -> Account | Refused:
    """Return the account that sends a message of the tenant."""
    if tenant_id not in snapshot.tenants:
        return Refused.because("tenant_id", "no such tenant", RejectionCode.NO_SUCH_TENANT)
    if named is None:
        found = snapshot.default_accounts.get(tenant_id)
        message = "required, because there is no default account"
        code = RejectionCode.ACCOUNT_REQUIRED
    else:
        found = snapshot.accounts_by_id.get((tenant_id, named))
        message, code = "no such account", RejectionCode.NO_SUCH_ACCOUNT
    return Refused.because("account_id", message, code) if found is None else found


def place_of(
    tenant_id: str, named: str | None, expires_at: float | None, snapshot: Snapshot, now: float
) -> Account | Refused:
    """Return the account of a message that is in time, else every reason against it."""
    account = account_of(tenant_id, named, snapshot)
    if expires_at is None or expires_at > now:
        return account
    late = mistake("expires_ts", "is past")
    if isinstance(account, Refused):
        return Refused([*account.wrong, late], account.code)
    return Refused([late], RejectionCode.EXPIRED)


def wrong_place(
    caller: Caller, tenant_id: Any, account_id: Any, snapshot: Snapshot
) -> list[Mistake]:
    """Return mistakes in tenant and account of a message that is rejected anyway."""
    if not isinstance(tenant_id, str | None) or not isinstance(account_id, str | None):
        return []
    try:
        found = account_of(tenant_of(caller, tenant_id, snapshot), account_id, snapshot)
    except WrongMessage as error:
        return error.wrong
    return found.wrong if isinstance(found, Refused) else []
