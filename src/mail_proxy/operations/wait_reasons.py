"""Reasons why due messages wait: a rate limit or a paused account, with its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mail_proxy.domain.limits import RateLimit, limits
from mail_proxy.operations.operation import Context
from mail_proxy.sql.table import EVERY_TENANT, Row

RATE_LIMIT = "rate_limit"


@dataclass(frozen=True)
class WaitReason:
    """Reason why an account sends nothing: ``rate_limit`` or its last error.

    ``until`` is the end of the wait (Unix seconds).
    """

    until: float
    reason: str


def wait_reasons(context: Context, account_pks: Iterable[str]) -> dict[str, WaitReason]:
    """Return the accounts among these (by pk) that currently send nothing.

    This is computed on demand: the messages behind a limit are never written to.
    """
    pks = sorted(set(account_pks))
    found = _at_limit(context, pks)
    for pk, row in context.tables.health.among(context.connection, pks).items():
        if row["retry_at"] > context.now:
            found[pk] = WaitReason(row["retry_at"], row["last_error"])
    return found


def _at_limit(context: Context, pks: list[str]) -> dict[str, WaitReason]:
    accounts = context.tables.accounts
    if not pks:
        return {}
    among = accounts.columns["pk"].in_(pks)
    rows = accounts.select(context.connection, among, tenant_id=context.tenant_id or EVERY_TENANT)
    tenant_of = {row["pk"]: row["tenant_id"] for row in rows}
    limited = {row["pk"]: _account_limits(row) for row in rows}
    of_accounts, of_tenants = context.tables.rate_use.of(
        context.connection,
        {pk: of_account for pk, of_account in limited.items() if of_account},
        _tenant_limits(context, set(tenant_of.values())),
        context.now,
        lock=False,
    )
    found = {}
    for pk, tenant_id in tenant_of.items():
        uses = [of_accounts.get(pk), of_tenants.get(tenant_id)]
        moments = [u.admits_at(context.now) for u in uses if u and not u.allowance(context.now)]
        if moments:
            found[pk] = WaitReason(max(moments), RATE_LIMIT)
    return found


def _tenant_limits(context: Context, ids: set[str]) -> dict[str, tuple[RateLimit, ...]]:
    """Return the limits of those tenants that have some."""
    tenants = context.tables.tenants
    found = {}
    for row in tenants.select(context.connection, tenants.columns["id"].in_(sorted(ids))):
        rates = row["rate_limits"] or {}
        found[row["id"]] = limits(hour=rates.get("hourly"), day=rates.get("daily"))
    return {id_: of_tenant for id_, of_tenant in found.items() if of_tenant}


def _account_limits(row: Row) -> tuple[RateLimit, ...]:
    return limits(row["limit_per_minute"], row["limit_per_hour"], row["limit_per_day"])
