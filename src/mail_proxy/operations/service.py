"""Operations on the running service: its state, and waking it."""

from __future__ import annotations

from dataclasses import dataclass

from mail_proxy.domain.facts import RunNow
from mail_proxy.errors import DiskShort
from mail_proxy.operations.attention import Waiting, find_attention, find_waiting
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.wire.service import Attention, Status, StatusQuery, program_version
from mail_proxy.wire.tenants import Done


@dataclass(frozen=True)
class _Found:
    """Findings in the database about one tenant or, with None, about all."""

    tenant_id: str | None
    waiting: Waiting | None = None
    attention: tuple[Attention, ...] = ()


async def _state(parts: Parts, found: _Found) -> Status:
    """Return the state of the service, with a count that is up to 10 s old."""
    status = Status(
        ok=True,
        active=parts.config.scheduler_active,
        scheduler_active=parts.dispatcher is not None and parts.dispatcher.alive,
        pending_messages=await parts.pending.of(found.tenant_id),
        uptime_seconds=round(parts.clock.monotonic() - parts.started_at, 3),
        version=program_version(),
        database=parts.db.adapter.name,
    )
    if found.waiting is not None:
        status.waiting = found.waiting.by_reason
        oldest = found.waiting.oldest_due_at
        status.oldest_due_seconds = None if oldest is None else parts.clock.now() - oldest
        status.attention = [*found.attention, *await _of_the_disk(parts)]
    return status


async def _of_the_disk(parts: Parts) -> list[Attention]:
    try:
        await parts.disk.check()
    except DiskShort as error:
        return [Attention(code="disk_short", text=error.message)]
    return []


@operation("service.status", scope=Scope.TENANT_OR_ALL, then=_state)
def status(context: Context, request: StatusQuery) -> _Found:
    """Return the state; with ``full``, why messages wait and what has to be mended."""
    tenant_id = context.tenant_id or None
    if not request.full:
        return _Found(tenant_id)
    waiting = find_waiting(context)
    return _Found(tenant_id, waiting, tuple(find_attention(context, waiting)))


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
