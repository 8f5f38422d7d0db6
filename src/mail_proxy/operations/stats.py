"""Operation ``stats.list``: counters of messages by hour or day."""

from __future__ import annotations

import math

from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.sql.hourly_counts import HOUR, CountFilter, CountPlace, CountRow
from mail_proxy.wire.cursors import NO_CURSOR, dump_cursor, load_cursor
from mail_proxy.wire.mistakes import malformed, mistake
from mail_proxy.wire.stats import (
    Bucket,
    StatsAnswer,
    StatsGroup,
    StatsOut,
    StatsQuery,
)

_DAY = 24 * HOUR
_WIDTHS = {Bucket.HOUR: HOUR, Bucket.DAY: _DAY}
#: Values of a cursor: bucket and grouping of the listing, and a place in it.
_CURSOR = (str, str, int, str, str)
#: Buckets of one range: 31 days by the hour, ten years by the day.
_MOST = {Bucket.HOUR: 31 * 24, Bucket.DAY: 3660}
#: Buckets of the range if the call names no beginning.
_USUAL = {Bucket.HOUR: 24, Bucket.DAY: 30}


@operation("stats.list", scope=Scope.TENANT_OR_ALL)
def list_stats(context: Context, request: StatsQuery) -> StatsAnswer:
    """Return counters of one tenant or, for the administrator, of all."""
    wanted = _wanted(context, request)
    after = _place(request, wanted)
    rows = context.tables.counts.page(context.connection, wanted, after, request.limit + 1)
    shown = rows[: request.limit]
    last = shown[-1].place if len(rows) > request.limit else None
    return StatsAnswer(
        ok=True,
        stats=[_shown(row, wanted.by_account) for row in shown],
        next_cursor=last and _cursor(request, last),
    )


def _wanted(context: Context, request: StatsQuery) -> CountFilter:
    width, most = _WIDTHS[request.bucket], _MOST[request.bucket]
    to_ts = context.now if request.to_ts is None else request.to_ts
    before = math.ceil(to_ts / width) * width
    if request.from_ts is None:
        start = max(0, before - _USUAL[request.bucket] * width)
    else:
        start = int(request.from_ts) // width * width
    if request.from_ts is not None and request.from_ts >= to_ts:
        raise malformed(mistake("from_ts", "must be before to_ts", request.from_ts))
    if before - start > most * width:
        advice = "; or bucket=day" if request.bucket is Bucket.HOUR else ""
        text = f"the range has over {most} buckets; give a later from_ts{advice}"
        raise malformed(mistake("from_ts", text, request.from_ts))
    by_account = request.by is StatsGroup.ACCOUNT
    by_tenant = request.by is not StatsGroup.ALL or bool(context.tenant_id)
    return CountFilter(context.tenant_id or None, by_account, width, start, before, by_tenant)


def _place(request: StatsQuery, wanted: CountFilter) -> CountPlace | None:
    if request.cursor is None:
        return None
    try:
        *query, bucket_at, tenant_id, account_id = load_cursor(request.cursor, *_CURSOR)
    except ValueError:
        query, bucket_at = [], 0
    if query != [request.bucket, request.by] or bucket_at % wanted.width:
        # A place of another listing says nothing about the order of this one.
        raise malformed(mistake("cursor", f"{NO_CURSOR}, with its bucket and by", request.cursor))
    place = CountPlace(bucket_at, tenant_id, account_id)
    # The call that gave the cursor may have had an earlier from_ts.
    return max(CountPlace(wanted.from_at), place)


def _cursor(request: StatsQuery, place: CountPlace) -> str:
    return dump_cursor(
        [request.bucket, request.by, place.bucket_at, place.tenant_id, place.account_id]
    )


def _shown(row: CountRow, by_account: bool) -> StatsOut:
    account = {"account_id": row.place.account_id} if by_account else {}
    place = {"bucket_ts": row.place.bucket_at, "tenant_id": row.place.tenant_id}
    return StatsOut(**place, **account, **row.counts)


ALL = (list_stats,)
