"""Find why messages wait: account in trouble, rate limit, suspension, own time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mail_proxy.domain.limits import RateLimit, limits
from mail_proxy.domain.message import WAITING, MessageState
from mail_proxy.domain.waiting import Pause, Surroundings, Wait, why_waiting
from mail_proxy.operations.operation import Context
from mail_proxy.sql.table import Row

_UNFINISHED = (*WAITING, MessageState.SENDING)


def wait_reasons(context: Context, rows: Iterable[Row]) -> dict[str, Wait]:
    """Return why each unfinished message among these rows waits, by pk.

    This is found on demand: the messages behind a limit or a pause are never written to.
    """
    accounts: dict[str, set[str]] = {}
    unfinished = [row for row in rows if row["state"] in _UNFINISHED]
    for row in unfinished:
        accounts.setdefault(row["tenant_id"], set()).add(row["account_pk"])
    around = {
        key: value
        for tenant_id, pks in accounts.items()
        for key, value in surroundings(context, tenant_id, pks).items()
    }
    return {
        row["pk"]: why_waiting(
            row["state"],
            row["due_at"],
            row["batch_code"],
            row["error"],
            around[row["account_pk"]],
            context.now,
        )
        for row in unfinished
    }


def surroundings(
    context: Context, tenant_id: str, account_pks: Iterable[str]
) -> dict[str, Surroundings]:
    """Return the state that decides on sending for accounts of a tenant, by pk."""
    connection, tables = context.connection, context.tables
    pks = sorted(set(account_pks))
    tenant = tables.tenants.get(connection, id=tenant_id)
    dispatching = context.config.scheduler_active or bool(tables.queue.dispatchers(connection))
    suspended = frozenset(tables.suspensions.of_tenant(connection, tenant_id))
    troubled = tables.health.of_tenant(connection, tenant_id)
    limited = _limited_until(context, tenant, pks)
    return {
        pk: Surroundings(
            active=tenant["active"],
            dispatching=dispatching,
            suspended=suspended,
            pause=_pause(troubled.get(pk)),
            limited_until=limited.get(pk),
        )
        for pk in pks
    }


def _pause(row: Row | None) -> Pause | None:
    return None if row is None else Pause(row["retry_at"], row["last_error"])


def _limited_until(context: Context, tenant: Row, pks: list[str]) -> Mapping[str, float]:
    accounts = context.tables.accounts
    among = accounts.columns["pk"].in_(pks)
    rows = accounts.select(context.connection, among, tenant_id=tenant["id"])
    limited = {row["pk"]: _account_limits(row) for row in rows}
    rates = tenant["rate_limits"] or {}
    of_tenant = limits(hour=rates.get("hourly"), day=rates.get("daily"))
    of_accounts, of_tenants = context.tables.rate_use.of(
        context.connection,
        {pk: of_account for pk, of_account in limited.items() if of_account},
        {tenant["id"]: of_tenant} if of_tenant else {},
        context.now,
        lock=False,
    )
    found = {}
    for pk in pks:
        uses = [of_accounts.get(pk), of_tenants.get(tenant["id"])]
        moments = [u.admits_at(context.now) for u in uses if u and not u.allowance(context.now)]
        if moments:
            found[pk] = max(moments)
    return found


def _account_limits(row: Row) -> tuple[RateLimit, ...]:
    return limits(row["limit_per_minute"], row["limit_per_hour"], row["limit_per_day"])
