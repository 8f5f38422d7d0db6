"""Overview of an instance or a tenant: troubles, figures, why things wait."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from mail_proxy.dashboard.chart import HOURS, chart
from mail_proxy.dashboard.filters import word
from mail_proxy.dashboard.page import Page
from mail_proxy.dashboard.visit import Visit
from mail_proxy.domain.message import MessageState
from mail_proxy.errors import Forbidden
from mail_proxy.inbound.bounces.codes import codes_in
from mail_proxy.operations import accounts, messages, service, stats, tenants
from mail_proxy.sql.hourly_counts import HOUR
from mail_proxy.wire.accounts import AccountOut
from mail_proxy.wire.messages import MessageOut, MessageQuery
from mail_proxy.wire.service import Status, StatusQuery
from mail_proxy.wire.stats import Bucket, StatsGroup, StatsOut, StatsQuery
from mail_proxy.wire.tenants import SyncState, TenantFilter

#: Periods of the tiles: hours, and the bucket in which they are counted.
PERIODS = {"1h": (1, Bucket.HOUR), "24h": (24, Bucket.HOUR), "7d": (168, Bucket.DAY)}
_USUAL = "24h"
#: Accounts and applications that a page shows at most; more have a page of their own.
MOST_SHOWN = 50
_MOST_FAILURES = 200
#: Beyond so many accounts the overview lists none, only those in trouble, in the verdict.
_MOST_LISTED = 500
_MOST_BUCKETS = 10_000
_COUNTERS = ("queued", "sent", "deferred", "error", "bounced", "complained", "reported")


@dataclass(frozen=True)
class Failure:
    """Messages of one account that were given up for one reason."""

    tenant_id: str
    account_id: str
    text: str
    count: int
    line: str


async def overview(visit: Visit) -> Response:
    """Show the whole instance to the administrator, and a tenant its own part."""
    tenant_id = visit.tenant_id
    if tenant_id is None and not visit.caller.is_admin:
        raise Forbidden("the instance is the administrator's")
    period = visit.query("period", 10)
    period = period if period in PERIODS else _USUAL
    status = await visit.ask(service.status, StatusQuery(full=True), tenant_id)
    totals = await _totals(visit, tenant_id, period)
    day = await _buckets(visit, tenant_id, HOURS, Bucket.HOUR)
    owned = await _accounts(visit, tenant_id, status)
    failed = await _failures(visit, tenant_id)
    applications = await _applications(visit) if tenant_id is None else []
    first = int(time.time()) // HOUR * HOUR - (HOURS - 1) * HOUR
    return await visit.show(
        "overview.html",
        tenant_id=tenant_id,
        status=status,
        now=time.time(),
        period=period,
        periods=tuple(PERIODS),
        totals=totals,
        chart=chart(first, ((row.bucket_ts, row.model_dump()) for row in day)),
        waiting=_shares(status),
        accounts=owned[:MOST_SHOWN],
        sent=await _sent_today(visit, tenant_id) if owned else {},
        more_accounts=(status.accounts.total if status.accounts else 0) - len(owned[:MOST_SHOWN]),
        failures=failed,
        applications=applications[:MOST_SHOWN],
        more_applications=len(applications) - MOST_SHOWN,
        steps=_steps(visit, tenant_id, status, owned, totals, applications),
        since_ts=_since(period),
    )


def _since(period: str) -> int:
    hours, _ = PERIODS[period]
    return int(time.time()) - hours * HOUR


async def _totals(visit: Visit, tenant_id: str | None, period: str) -> dict[str, int]:
    hours, bucket = PERIODS[period]
    found: Counter[str] = Counter(dict.fromkeys(_COUNTERS, 0))
    for row in await _buckets(visit, tenant_id, hours, bucket):
        found.update({name: getattr(row, name) for name in _COUNTERS})
    return dict(found)


async def _buckets(
    visit: Visit, tenant_id: str | None, hours: int, bucket: Bucket
) -> Sequence[StatsOut]:
    begin = int(time.time()) // HOUR * HOUR - (hours - 1) * HOUR
    asked = StatsQuery(from_ts=begin, bucket=bucket, by=StatsGroup.ALL, limit=_MOST_BUCKETS)
    return (await visit.ask(stats.list_stats, asked, tenant_id)).stats


async def _accounts(visit: Visit, tenant_id: str | None, status: Status) -> list[AccountOut]:
    """Return the accounts, those in trouble first; of very many none."""
    if status.accounts is not None and status.accounts.total > _MOST_LISTED:
        return []
    found = (await visit.ask(accounts.list_accounts, None, tenant_id)).accounts
    return sorted(found, key=lambda account: account.health == "ok")


async def _sent_today(visit: Visit, tenant_id: str | None) -> dict[tuple[str, str], int]:
    """Return how many messages each account sent in 24 hours, by tenant and account."""
    begin = int(time.time()) // HOUR * HOUR - (HOURS - 1) * HOUR
    asked = StatsQuery(from_ts=begin, by=StatsGroup.ACCOUNT, limit=_MOST_BUCKETS)
    sent: Counter[tuple[str, str]] = Counter()
    for row in (await visit.ask(stats.list_stats, asked, tenant_id)).stats:
        sent[row.tenant_id, row.account_id or ""] += row.sent
    return sent


async def _applications(visit: Visit) -> list[SyncState]:
    found = (await visit.ask(tenants.sync_status, None)).tenants
    return sorted(found, key=lambda state: (state.last_sync_error is None, state.id))


async def _failures(visit: Visit, tenant_id: str | None) -> list[Failure]:
    """Return the newest messages that were given up, grouped by account and answer."""
    since = int(time.time()) // 60 * 60 - HOURS * HOUR
    asked = MessageQuery(status=[MessageState.ERROR], limit=_MOST_FAILURES, from_ts=since)
    found = (await visit.ask(messages.list_messages, asked, tenant_id)).messages
    return grouped(found, since)


def grouped(found: Iterable[MessageOut], since: int) -> list[Failure]:
    """Group failed messages by account and answer, the largest group first.

    The ``line`` of a group is its filter line, of messages that were taken in after ``since``.
    """
    groups: dict[tuple[str, str, str], list[MessageOut]] = {}
    for message in found:
        text = message.error or ""
        codes = codes_in(text[:500], is_reply=True)
        # Servers put addresses and ids of their own into their words.
        key = codes.enhanced or codes.reply or " ".join(text[:60].partition('"')[0].split())
        groups.setdefault((message.tenant_id, message.account_id, key), []).append(message)
    failures = [
        Failure(
            tenant, account, (these[0].error or "")[:300], len(these), _line(account, key, since)
        )
        for (tenant, account, key), these in groups.items()
    ]
    return sorted(failures, key=lambda failure: -failure.count)[:MOST_SHOWN]


def _line(account: str, key: str, since: int) -> str:
    after = f"{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%MZ}"
    words = ["status:error", word("account", account), word("after", after)]
    return " ".join([*words, word("error", key)] if key else words)


def _shares(status: Status) -> list[tuple[str, int, float]]:
    """Return the reasons of waiting with their number and share of all, in percent."""
    counts = {r: n for r, n in (status.waiting or {}).items() if n}
    total = sum(counts.values()) or 1
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    return [(reason, count, round(100 * count / total, 1)) for reason, count in ordered]


def _steps(
    visit: Visit,
    tenant_id: str | None,
    status: Status,
    owned: Sequence[AccountOut],
    totals: Mapping[str, int],
    applications: Sequence[SyncState],
) -> list[dict[str, Any]]:
    """Return the first steps with their ticks, [] once mails are sent and reported."""
    sent = totals["sent"] > 0 or bool(status.last_24h and status.last_24h.sent)
    reports = any(state.client_base_url for state in applications) or tenant_id is not None
    if sent and reports:
        return []
    target = tenant_id or "default"
    place = ["t", target]
    return [
        {
            "name": "account",
            "done": bool(status.accounts and status.accounts.total),
            "path": visit.path(*place, "accounts", "new"),
        },
        {
            "name": "test",
            "done": sent or any(account.health == "ok" for account in owned),
            "path": visit.path(*place, "accounts"),
        },
        {"name": "mail", "done": sent, "path": visit.path(*place, "send")},
        {"name": "reports", "done": reports, "path": visit.path(*place, "settings")},
        {"name": "code", "done": False, "path": visit.path(*place, "start")},
    ]


async def problems(visit: Visit) -> Response:
    """Show everything that needs somebody, over all tenants."""
    status = await visit.ask(service.status, StatusQuery(full=True))
    failed = await _failures(visit, None)
    every = (await visit.ask(tenants.list_tenants, TenantFilter())).tenants
    suspended = [tenant for tenant in every if tenant.suspended_batches]
    return await visit.show(
        "problems.html",
        status=status,
        now=time.time(),
        failures=failed,
        suspended=suspended[:MOST_SHOWN],
    )


PAGES = (
    Page("GET", "/", overview),
    Page("GET", "/t/{tenant}/", overview),
    Page("GET", "/problems", problems, for_admin=True),
)
