"""Operations on dashboard sessions: make a one-time link, end all sessions."""

from __future__ import annotations

from mail_proxy.encryption import hash_token, new_token
from mail_proxy.errors import Conflict
from mail_proxy.features.ui_sessions.table import UiSessionsTable
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.wire.ui_sessions import UiLinkOut, UiSessionsEnded

#: Time in which a link can be used, seconds.
LINK_SECONDS = 300.0


@operation("ui_sessions.link", scope=Scope.ADMIN, mutates=True)
def link(context: Context, request: None) -> UiLinkOut:
    """Make a link that logs the administrator in to the dashboard.

    It works once, within five minutes.

    409 if the dashboard is switched off.
    """
    if not context.config.ui.ui:
        raise Conflict("the dashboard is switched off (ui)")
    code = new_token()
    token = context.config.api_token
    row = {
        "token_hash": hash_token(code),
        "tenant_id": None,
        "key_hash": hash_token(token.get_secret_value()) if token else "",
        "is_link": 1,
        "created_at": context.now,
        "expires_at": context.now + LINK_SECONDS,
    }
    context.tables.of_feature(UiSessionsTable).begin(context.connection, row)
    path = f"/ui/open?code={code}"
    return UiLinkOut(path=path, expires_ts=int(context.now + LINK_SECONDS))


@operation("ui_sessions.end_all", scope=Scope.TENANT_OR_ALL, mutates=True)
def end_all(context: Context, request: None) -> UiSessionsEnded:
    """End all dashboard sessions of a tenant.

    An administrator's call that names no tenant ends those of everybody.
    """
    table = context.tables.of_feature(UiSessionsTable)
    return UiSessionsEnded(ended=table.end_all(context.connection, context.tenant_id or None))


ALL = (link, end_all)
