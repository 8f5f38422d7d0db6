"""Find why messages wait: account in trouble, rate limit, suspension, own time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from mail_proxy.config import ProxyConfig
from mail_proxy.domain.limits import RateLimit, limits
from mail_proxy.domain.message import WAITING, MessageState
from mail_proxy.domain.waiting import Pause, Surroundings, Wait, why_waiting
from mail_proxy.sql import Connection
from mail_proxy.sql.table import EVERY_TENANT, Row
from mail_proxy.sql.tables import Tables

_TENANTS_AT_ONCE = 200
_UNFINISHED = (*WAITING, MessageState.SENDING)


class View(Protocol):
    """The state of the database in one transaction, as a ``Context`` has it."""

    @property
    def connection(self) -> Connection: ...
    @property
    def tables(self) -> Tables: ...
    @property
    def config(self) -> ProxyConfig: ...
    @property
    def now(self) -> float: ...


@dataclass(frozen=True, slots=True)
class ReadView:
    """View of a reading transaction that is no operation. ``now`` is in Unix seconds."""

    connection: Connection
    tables: Tables
    config: ProxyConfig
    now: float


def wait_reasons(context: View, rows: Iterable[Row]) -> dict[str, Wait]:
    """Return why each unfinished message among these rows waits, by pk.

    This is found on demand: the messages behind a limit or a pause are never written to.
    """
    accounts: dict[str, set[str]] = {}
    unfinished = [row for row in rows if row["state"] in _UNFINISHED]
    for row in unfinished:
        accounts.setdefault(row["tenant_id"], set()).add(row["account_pk"])
    around = surroundings(context, accounts)
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


def surroundings(view: View, accounts: Mapping[str, Collection[str]]) -> dict[str, Surroundings]:
    """Return the state that decides on sending, for accounts by tenant, by account pk."""
    found: dict[str, Surroundings] = {}
    tenant_ids = sorted(accounts)
    for start in range(0, len(tenant_ids), _TENANTS_AT_ONCE):
        these = tenant_ids[start : start + _TENANTS_AT_ONCE]
        found |= _surroundings(view, {id_: accounts[id_] for id_ in these})
    return found


def _surroundings(view: View, accounts: Mapping[str, Collection[str]]) -> dict[str, Surroundings]:
    connection, tables, ids = view.connection, view.tables, list(accounts)
    among = tables.tenants.columns["id"].in_(ids)
    tenants = {row["id"]: row for row in tables.tenants.select(connection, among)}
    dispatching = view.config.scheduler_active or bool(tables.queue.dispatchers(connection))
    suspended = tables.suspensions.of_tenants(connection, ids)
    troubled = tables.health.of_tenants(connection, ids)
    limited = _limited_until(view, tenants, accounts)
    return {
        pk: Surroundings(
            active=tenants[tenant_id]["active"],
            dispatching=dispatching,
            suspended=suspended.get(tenant_id, frozenset()),
            pause=_pause(troubled.get(pk)),
            limited_until=limited.get(pk),
        )
        for tenant_id, pks in accounts.items()
        for pk in pks
    }


def _pause(row: Row | None) -> Pause | None:
    return None if row is None else Pause(row["retry_at"], row["last_error"])


def _limited_until(
    view: View, tenants: Mapping[str, Row], accounts: Mapping[str, Collection[str]]
) -> dict[str, float]:
    """Return until when a rate limit holds up each account, if one does."""
    table = view.tables.accounts
    c = table.columns
    has_limit = (c["limit_per_minute"] > 0) | (c["limit_per_hour"] > 0) | (c["limit_per_day"] > 0)
    rows = table.select(
        view.connection, c["tenant_id"].in_(list(tenants)), has_limit, tenant_id=EVERY_TENANT
    )
    of_accounts, of_tenants = view.tables.rate_use.of(
        view.connection,
        {
            row["pk"]: _account_limits(row)
            for row in rows
            if row["pk"] in accounts[row["tenant_id"]]
        },
        {id_: limited for id_, row in tenants.items() if (limited := _tenant_limits(row))},
        view.now,
        lock=False,
    )
    found = {}
    for tenant_id, pks in accounts.items():
        for pk in pks:
            uses = [of_accounts.get(pk), of_tenants.get(tenant_id)]
            moments = [u.admits_at(view.now) for u in uses if u and not u.allowance(view.now)]
            if moments:
                found[pk] = max(moments)
    return found


def _tenant_limits(row: Row) -> tuple[RateLimit, ...]:
    rates = row["rate_limits"] or {}
    return limits(hour=rates.get("hourly"), day=rates.get("daily"))


def _account_limits(row: Row) -> tuple[RateLimit, ...]:
    return limits(row["limit_per_minute"], row["limit_per_hour"], row["limit_per_day"])
