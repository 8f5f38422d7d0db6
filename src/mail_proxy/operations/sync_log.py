"""What became of the last report calls."""

from __future__ import annotations

from dataclasses import dataclass

from mail_proxy.operations.operation import Context, operation
from mail_proxy.wire.sync_log import SyncCallOut, SyncLogOut


@dataclass(frozen=True)
class CallFilter:
    """The newest ``limit`` of them, 1-100."""

    limit: int = 100


@operation("sync_log.list")
def list_calls(context: Context, request: CallFilter) -> SyncLogOut:
    """The tenant's last calls."""
    log = context.tables.sync_log
    rows = log.last(context.connection, context.tenant_id, request.limit)
    calls = [
        SyncCallOut(
            **{name: row[name] for name in SyncCallOut.model_fields if name in row},
            called_ts=int(row["at"]),
        )
        for row in rows
    ]
    return SyncLogOut(calls=calls)
