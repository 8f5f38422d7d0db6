"""Rows of the audit log: each call with its request.

Secrets and contents of mails are redacted.
"""

from __future__ import annotations

from typing import Any

from mail_proxy.operations.callers import Caller
from mail_proxy.operations.operation import Context, Operation
from mail_proxy.sql.table import Row


def audit_row(
    caller: Caller, operation: str | None, now: float, tenant_id: str | None, payload: Any
) -> Row:
    """Build the row of a call that succeeded; ``payload`` must be redacted already."""
    return {
        "at": now,
        "operation": operation,
        "endpoint": caller.endpoint or operation or "",
        "tenant_id": tenant_id,
        "actor": caller.actor,
        "address": caller.address,
        "request_id": caller.request_id,
        "status": 200,
        "error": None,
        "payload": payload,
    }


def write_audit(context: Context, operation: Operation[Any, Any], request: Any) -> None:
    """Write the audit row of an operation in the operation's own transaction."""
    about = context.about or context.tenant_id or None
    row = audit_row(context.caller, operation.name, context.now, about, operation.shown(request))
    context.tables.command_log.insert(context.connection, row)
