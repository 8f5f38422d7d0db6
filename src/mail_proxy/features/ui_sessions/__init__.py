"""Sessions of the dashboard, and one-time links that begin one."""

from mail_proxy.features.feature import Feature, Route
from mail_proxy.features.ui_sessions import operations
from mail_proxy.features.ui_sessions.table import UiSessionsTable

UI_SESSIONS = Feature(
    name="dashboard",
    tables=(UiSessionsTable,),
    operations=operations.ALL,
    routes=(
        Route("POST", "/ui-link", operations.link),
        Route("POST", "/ui-sessions/end", operations.end_all),
    ),
)
