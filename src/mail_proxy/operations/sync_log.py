"""Operation on the log of report calls."""

from __future__ import annotations

from mail_proxy.operations.operation import Context, operation
from mail_proxy.wire.sync_log import CallFilter, SyncCallOut, SyncLogOut


@operation("sync_log.list", tenant_field="id")
def list_calls(context: Context, request: CallFilter) -> SyncLogOut:
    """Return the last calls to the tenant's application, newest first."""
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


ALL = (list_calls,)
