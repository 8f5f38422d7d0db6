"""The instance itself: how it is, and waking it."""

from __future__ import annotations

from mail_proxy.domain.facts import RunNow
from mail_proxy.operations.operation import Context, operation
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.wire.tenants import Done


@operation("service.pending", admin_only=True)
def pending(context: Context, request: None) -> int:
    """How many messages of the instance are not finished."""
    return context.tables.messages.count_waiting(context.connection, EVERY_TENANT)


@operation("service.pending_of_tenant")
def pending_of_tenant(context: Context, request: None) -> int:
    """How many messages of the tenant are not finished."""
    return context.tables.messages.count_waiting(context.connection, context.tenant_id)


@operation("service.run_now", admin_only=True, mutates=True)
def run_now(context: Context, request: None) -> Done:
    """Wake dispatcher and reporter, for all tenants."""
    context.after_commit.append(RunNow())
    return Done()


@operation("service.run_now_for_tenant", mutates=True)
def run_now_for_tenant(context: Context, request: None) -> Done:
    """Wake dispatcher and reporter for one tenant; its do-not-disturb ends."""
    context.after_commit.append(RunNow(context.tenant_id))
    return Done()
