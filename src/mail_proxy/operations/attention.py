"""Find troubles of an instance that an operator has to mend: the attention list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mail_proxy.domain.tenant import EVERYTHING
from mail_proxy.domain.waiting import Surroundings, WaitReason, why_waiting
from mail_proxy.operations.operation import Context
from mail_proxy.operations.wait_reasons import surroundings
from mail_proxy.sql.messages.counts import WaitingGroup, waiting_groups
from mail_proxy.wire.service import Attention

#: A message whose turn has not come for so long is late: a dispatcher hangs, or cannot keep up.
LATE_SECONDS = 900.0
#: Most entries of each kind: an instance may have thousands of accounts in trouble.
_MOST = 100


@dataclass(frozen=True)
class Waiting:
    """Unfinished messages by reason, and the groups that they are counted from.

    ``oldest_due_at`` is the earliest due time among those whose turn has not come.
    """

    by_reason: dict[str, int]
    by_account: dict[str, int]
    oldest_due_at: float | None


def find_waiting(context: Context) -> Waiting:
    """Count the unfinished messages of the tenant, or of all tenants, by reason."""
    groups = waiting_groups(context.connection, context.tenant_id or None, context.now)
    accounts: dict[str, set[str]] = {}
    for group in groups:
        accounts.setdefault(group.tenant_id, set()).add(group.account_pk)
    around = {
        pk: state
        for tenant_id, pks in accounts.items()
        for pk, state in surroundings(context, tenant_id, pks).items()
    }
    by_reason: Counter[str] = Counter()
    by_account: Counter[str] = Counter()
    oldest: float | None = None
    for group in groups:
        reason = _reason(group, around, context.now)
        by_reason[reason] += group.count
        by_account[group.account_pk] += group.count
        if reason is WaitReason.QUEUE:
            oldest = min(group.due_at, group.due_at if oldest is None else oldest)
    return Waiting(dict(by_reason), dict(by_account), oldest)


def find_attention(context: Context, waiting: Waiting) -> list[Attention]:
    """Return the attention list of one tenant or, for the administrator, of all."""
    found = [*_paused_accounts(context, waiting), *_failing_reports(context)]
    oldest = waiting.oldest_due_at
    if oldest is not None and oldest < context.now - LATE_SECONDS:
        minutes = round((context.now - oldest) / 60)
        count = waiting.by_reason[WaitReason.QUEUE]
        found.append(
            Attention(
                code="queue_late",
                text=f"Messages have been due for {minutes} minutes, and nothing holds them up",
                since_ts=int(oldest),
                waiting=count,
            )
        )
    if stopped := waiting.by_reason.get(WaitReason.STOPPED):
        text = "No dispatcher runs (scheduler_active): nothing is sent"
        found.append(Attention(code="dispatcher_stopped", text=text, waiting=stopped))
    return found


def _paused_accounts(context: Context, waiting: Waiting) -> Iterable[Attention]:
    tenant_id = context.tenant_id or None
    for row in context.tables.health.described(context.connection, tenant_id, _MOST):
        yield Attention(
            code="account_paused",
            text=f"Account {row['id']} cannot be used: {row['last_error']}",
            since_ts=int(row["since_at"]),
            tenant_id=row["tenant_id"],
            account_id=row["id"],
            waiting=waiting.by_account.get(row["pk"], 0),
        )


def _failing_reports(context: Context) -> Iterable[Attention]:
    failing = context.tables.tenant_sync.failing(
        context.connection, context.tenant_id or None, _MOST
    )
    for row in failing:
        since = row["last_sync_at"]
        yield Attention(
            code="reports_failing",
            text=f"The application of {row['tenant_id']} takes no reports: {row['last_error']}",
            since_ts=None if since is None else int(since),
            tenant_id=row["tenant_id"],
        )


def _reason(group: WaitingGroup, around: Mapping[str, Surroundings], now: float) -> WaitReason:
    state = around[group.account_pk]
    if group.suspended:
        state = replace(state, suspended=(EVERYTHING,))
    return why_waiting(group.state, group.due_at, None, None, state, now).reason
