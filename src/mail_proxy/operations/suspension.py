"""Stopping and resuming a tenant's queue, or one batch of it."""

from __future__ import annotations

from dataclasses import dataclass

from mail_proxy.domain.facts import DirectoryChanged
from mail_proxy.domain.tenant import EVERYTHING
from mail_proxy.errors import Conflict
from mail_proxy.operations.operation import Context, operation
from mail_proxy.wire.suspension import SuspensionOut


@dataclass(frozen=True)
class BatchRef:
    """``batch_code`` None means everything of the tenant."""

    batch_code: str | None


@operation("suspend", mutates=True)
def suspend(context: Context, request: BatchRef) -> SuspensionOut:
    """Stop sending; what is in flight is finished, the rest keeps its times."""
    request = _named(request)
    context.tables.suspensions.suspend(context.connection, context.tenant_id, request.batch_code)
    return _answer(context, request)


@operation("activate", mutates=True)
def activate(context: Context, request: BatchRef) -> SuspensionOut:
    """Resume a batch, or everything that was suspended."""
    request = _named(request)
    suspensions, tenant_id = context.tables.suspensions, context.tenant_id
    if request.batch_code is None:
        suspensions.delete(context.connection, tenant_id=tenant_id)
    else:
        everything = suspensions.find(
            context.connection, tenant_id=tenant_id, batch_code=EVERYTHING
        )
        if everything is not None:
            raise Conflict("the whole tenant is suspended; activate it without batch_code first")
        suspensions.delete(context.connection, tenant_id=tenant_id, batch_code=request.batch_code)
    return _answer(context, request)


def _named(request: BatchRef) -> BatchRef:
    """``*`` is everything here too, as it is in ``suspended_batches``."""
    return BatchRef(None) if request.batch_code == EVERYTHING else request


def _answer(context: Context, request: BatchRef) -> SuspensionOut:
    """Without the count, which would keep others from writing for too long."""
    context.after_commit.append(DirectoryChanged())
    return SuspensionOut(
        tenant_id=context.tenant_id,
        batch_code=request.batch_code,
        suspended_batches=context.tables.suspensions.of_tenant(
            context.connection, context.tenant_id
        ),
        pending_messages=0,
    )
