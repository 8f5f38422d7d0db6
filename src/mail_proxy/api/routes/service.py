"""Health, status, metrics, run-now."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from mail_proxy.api.deps import AnyCaller, Route, Service, TenantQuery
from mail_proxy.api.errors import answer
from mail_proxy.operations import service as operations
from mail_proxy.wire.service import Status
from mail_proxy.wire.tenants import Done

router = APIRouter(tags=["service"], route_class=Route)


@router.get("/health")
async def health() -> Done:
    """Alive; touches nothing."""
    return Done()


@router.get("/ready", response_model=Done)
async def ready(service: Service) -> Any:
    """200 when the database answers and the dispatcher runs, else 503 with the reason."""
    reason = await service.not_ready_reason()
    return Done() if reason is None else answer(503, reason, retry_after=5)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(service: Service) -> Response:
    """Prometheus text."""
    return Response(await service.metrics_text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/status")
async def status(service: Service, caller: AnyCaller) -> Status:
    """How the instance is; with a tenant key, `pending_messages` counts the tenant's.

    The count of a long queue is up to 10 s old.
    """
    return service.status(await service.pending.of(caller))


@router.post("/commands/run-now")
async def run_now(service: Service, caller: AnyCaller, tenant_id: TenantQuery = None) -> Done:
    """Wake dispatcher and reporter now. For one tenant, its do-not-disturb ends."""
    if caller.is_admin and tenant_id is None:
        return await service.door.call(operations.run_now, caller, None)
    return await service.door.call(operations.run_now_for_tenant, caller, None, tenant_id)
