"""Routes of suppression lists as CSV: export and import."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from mail_proxy.api.bodies import read_body
from mail_proxy.api.deps import Call, Route, TenantQuery
from mail_proxy.features.suppressions import csv_operations as operations
from mail_proxy.wire.suppressions import SuppressionReason, SuppressionsImported

_CSV = "text/csv"
_LINES = {_CSV: {"schema": {"type": "string", "description": "One address per line."}}}
router = APIRouter(tags=["suppressions"], route_class=Route)


@router.get(
    "/suppressions/export",
    response_class=StreamingResponse,
    responses={200: {"content": _LINES, "description": "The list; the first line has titles."}},
)
async def export(
    call: Call,
    reason: Annotated[
        SuppressionReason | None,
        Query(description="Only entries with this reason.", examples=["bounce"]),
    ] = None,
    tenant_id: TenantQuery = None,
) -> StreamingResponse:
    """Export the suppression list as CSV, with reason, time, detail and message."""
    lines = await call(operations.export, operations.SuppressionExport(reason), tenant_id)
    return StreamingResponse(lines, media_type=_CSV)


@router.post(
    "/suppressions/import",
    openapi_extra={"requestBody": {"required": True, "content": _LINES}},
)
async def import_list(
    call: Call, request: Request, tenant_id: TenantQuery = None
) -> SuppressionsImported:
    """Add the addresses of a CSV list; lines with a mistake are left out and named.

    Columns: `address`, and optionally `reason`, `since_ts`, `detail`, `message_id`, in any order.
    Without a line of titles the first column is the address. At most 4 MB and 100 000 lines.
    """
    found = await operations.read_csv(await read_body(request))
    return await call(operations.import_list, found, tenant_id)
