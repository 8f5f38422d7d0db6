"""Routes of the running service: health, readiness, metrics, status, run-now."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from prometheus_client import CONTENT_TYPE_LATEST

from mail_proxy.api.deps import Call, Route, TenantQuery, Watch
from mail_proxy.api.errors import answer
from mail_proxy.errors import NotReady
from mail_proxy.operations import service as operations
from mail_proxy.wire.service import Status, StatusQuery
from mail_proxy.wire.tenants import Done

router = APIRouter(tags=["service"], route_class=Route)


@router.get("/health")
async def health() -> Done:
    """Answer 200 while the process is alive; neither database nor dispatcher is asked."""
    return Done()


@router.get("/ready", response_model=Done)
async def ready(watch: Watch) -> Any:
    """Answer 200 if database and dispatcher work, else 503 with the reason."""
    reason = await watch.not_ready_reason()
    return Done() if reason is None else answer(NotReady, reason, retry_after=5)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(watch: Watch) -> Response:
    """Return the metrics in the Prometheus text format."""
    return Response(await watch.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/status", response_model_exclude_unset=True)
async def status(
    call: Call,
    full: Annotated[
        bool, Query(description="Also say why messages wait, and what has to be mended.")
    ] = False,
    tenant_id: TenantQuery = None,
) -> Status:
    """Return the state of the instance; with `full`, also its troubles.

    With a tenant key or `tenant_id`, it is about the tenant. Counts of a long queue are up to 10 s
    old, `waiting` up to a minute.
    """
    return await call(operations.status, StatusQuery(full=full), tenant_id)


@router.post("/commands/run-now")
async def run_now(call: Call, tenant_id: TenantQuery = None) -> Done:
    """Wake dispatcher and reporter now. For one tenant, its do-not-disturb ends."""
    return await call(operations.run_now, None, tenant_id)
