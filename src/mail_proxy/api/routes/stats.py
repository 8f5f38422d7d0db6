"""Route of the counters by hour or day."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mail_proxy.api.deps import Call, Route, TenantQuery
from mail_proxy.operations import stats as operations
from mail_proxy.wire.cursors import Cursor
from mail_proxy.wire.instants import Timestamp
from mail_proxy.wire.stats import (
    Bucket,
    StatsAnswer,
    StatsGroup,
    StatsPageSize,
    StatsQuery,
)

router = APIRouter(tags=["stats"], route_class=Route)


@router.get("/stats", response_model_exclude_unset=True)
async def list_stats(
    call: Call,
    from_ts: Annotated[
        Timestamp | None,
        Query(description="From the bucket of this time on; default: 24 hours or 30 days ago."),
    ] = None,
    to_ts: Annotated[
        Timestamp | None, Query(description="Buckets that begin before this time; default: now.")
    ] = None,
    bucket: Annotated[Bucket, Query(description="Hours, or days in UTC.")] = Bucket.HOUR,
    by: Annotated[
        StatsGroup, Query(description="Tenants, each of their accounts, or all together.")
    ] = StatsGroup.TENANT,
    limit: Annotated[StatsPageSize, Query(description="Most rows in the answer.")] = 1000,
    cursor: Annotated[
        Cursor | None, Query(description="The `next_cursor` of the previous page.")
    ] = None,
    tenant_id: TenantQuery = None,
) -> StatsAnswer:
    """Return counters of messages by hour or day, oldest first.

    They are kept for `stats_retention_days`, also when the messages are removed. A range has at
    most 744 hours, or 3660 days. The administrator sees all tenants without `tenant_id`.
    """
    request = StatsQuery(
        from_ts=from_ts, to_ts=to_ts, bucket=bucket, by=by, limit=limit, cursor=cursor
    )
    return await call(operations.list_stats, request, tenant_id)
