"""Operations on the running service: its state, and waking it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mail_proxy.domain.facts import RunNow
from mail_proxy.operations.attention import attention_list, find_troubles
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.sql.hourly_counts import HOUR
from mail_proxy.wire.service import (
    AccountCounts,
    Attention,
    DiskState,
    LastDay,
    ProcessState,
    ReportState,
    Status,
    StatusQuery,
    program_version,
)
from mail_proxy.wire.tenants import Done

_DAY_HOURS = 24


@dataclass(frozen=True)
class _Full:
    """Findings in the database that the full state needs."""

    last_24h: LastDay
    accounts: AccountCounts
    reports: ReportState
    processes: list[ProcessState]
    last_backup_at: float | None


@dataclass(frozen=True)
class _Found:
    """Findings in the database about one tenant or, with None, about all."""

    tenant_id: str | None
    full: _Full | None = None


async def _state(parts: Parts, found: _Found) -> Status:
    """Return the state of the service, with counts that may be some seconds old."""
    status = Status(
        ok=True,
        active=parts.config.scheduler_active,
        scheduler_active=parts.dispatcher is not None and parts.dispatcher.alive,
        pending_messages=await parts.pending.of(found.tenant_id),
        uptime_seconds=round(parts.clock.monotonic() - parts.started_at, 3),
        version=program_version(),
        database=parts.db.adapter.name,
    )
    if found.full is not None:
        await _complete(status, found.full, parts, found.tenant_id)
    return status


async def _complete(status: Status, full: _Full, parts: Parts, tenant_id: str | None) -> None:
    waiting, now = await parts.waiting.of(tenant_id), parts.clock.now()
    # Behind the counts: what they show as waiting for an account has its trouble in the list.
    troubles = await parts.db.read(find_troubles, parts.tables, tenant_id)
    status.waiting = {str(reason): count for reason, count in waiting.by_reason.items()}
    oldest = waiting.oldest_due_at
    status.oldest_due_seconds = None if oldest is None else now - oldest
    status.last_24h, status.accounts, status.reports = full.last_24h, full.accounts, full.reports
    status.last_backup_ts = None if full.last_backup_at is None else int(full.last_backup_at)
    status.attention = await attention_list(troubles, waiting, parts.disk, now)
    if tenant_id is None:
        status.processes = full.processes
        status.disk = await _disk(parts, status.attention)


async def _disk(parts: Parts, attention: Sequence[Attention]) -> DiskState | None:
    free = await parts.disk.free()
    if free is None:
        return None
    return DiskState(
        free_mb=free / 1e6,
        min_free_mb=parts.config.queue.min_free_disk_mb,
        short=any(trouble.code == "disk_short" for trouble in attention),
    )


@operation("service.status", scope=Scope.TENANT_OR_ALL, then=_state)
def status(context: Context, request: StatusQuery) -> _Found:
    """Return the state; with ``full``, why messages wait and what has to be mended."""
    tenant_id = context.tenant_id or None
    return _Found(tenant_id, _full(context, tenant_id) if request.full else None)


def _full(context: Context, tenant_id: str | None) -> _Full:
    connection, tables = context.connection, context.tables
    this_hour = context.now // HOUR * HOUR
    counts = tables.counts.totals(connection, tenant_id, this_hour - (_DAY_HOURS - 1) * HOUR)
    total, paused = tables.health.count(connection, tenant_id)
    everyone = context.config.client_sync.url is not None
    oldest_at = tables.tenant_sync.oldest_report_at(connection, tenant_id, everyone)
    return _Full(
        LastDay(sent=counts["sent"], error=counts["error"], bounced=counts["bounced"]),
        AccountCounts(total=total, paused=paused),
        ReportState(
            failing=tables.tenant_sync.count_failing(connection, tenant_id),
            oldest_seconds=None if oldest_at is None else max(0.0, context.now - oldest_at),
        ),
        [ProcessState(host=d.host, pid=d.pid) for d in tables.queue.dispatchers(connection)],
        tables.instance.last_backup_at(connection),
    )


@operation("service.run_now", scope=Scope.TENANT_OR_ALL, mutates=True, command="run now")
def run_now(context: Context, request: None) -> Done:
    """Wake dispatcher and reporter, and try paused accounts again at once.

    For one tenant, its do-not-disturb ends.
    """
    tenant_id = context.tenant_id or None
    context.tables.health.probe_now(context.connection, tenant_id, context.now)
    context.publish(RunNow(tenant_id))
    return Done()


ALL = (status, run_now)
