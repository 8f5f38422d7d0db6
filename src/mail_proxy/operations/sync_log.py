"""What became of the last report calls."""

from __future__ import annotations

from mail_proxy.operations.operation import Context, operation
from mail_proxy.wire.sync_log import SyncCallOut, SyncLogOut


@operation("sync_log.list")
def list_calls(context: Context, limit: int) -> SyncLogOut:
    """The tenant's last calls, at most ``limit``."""
    rows = context.tables.sync_log.last(context.connection, context.tenant_id, limit)
    calls = [
        SyncCallOut(
            **{name: row[name] for name in SyncCallOut.model_fields if name in row},
            called_ts=int(row["at"]),
        )
        for row in rows
    ]
    return SyncLogOut(calls=calls)
