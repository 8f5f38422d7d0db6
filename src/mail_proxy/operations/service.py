"""Operations on the running service: its state, and waking it."""

from __future__ import annotations

from mail_proxy.domain.facts import RunNow
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.wire.service import Status, program_version
from mail_proxy.wire.tenants import Done


async def _state(parts: Parts, tenant_id: str | None) -> Status:
    """Return the state of the service, with a count that is up to 10 s old."""
    return Status(
        active=parts.config.scheduler_active,
        scheduler_active=parts.dispatcher is not None and parts.dispatcher.alive,
        pending_messages=await parts.pending.of(tenant_id),
        uptime_seconds=round(parts.clock.monotonic() - parts.started_at, 3),
        version=program_version(),
        database=parts.db.adapter.name,
    )


@operation("service.status", scope=Scope.TENANT_OR_ALL, then=_state)
def status(context: Context, request: None) -> str | None:
    """Return the tenant whose unfinished messages are counted; None for all tenants."""
    return context.tenant_id or None


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
