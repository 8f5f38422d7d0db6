"""All pages of the dashboard, one module for each subject."""

from __future__ import annotations

from mail_proxy.dashboard.page import Page
from mail_proxy.dashboard.views import (
    accounts,
    export,
    instance,
    lists,
    log_in,
    message,
    messages,
    overview,
    settings,
)

PAGES: tuple[Page, ...] = (
    *log_in.PAGES,
    *overview.PAGES,
    *messages.PAGES,
    *export.PAGES,
    *message.PAGES,
    *accounts.PAGES,
    *lists.PAGES,
    *settings.PAGES,
    *instance.PAGES,
)
#: Answers every path below ``/ui`` that is no page.
NOWHERE = Page("GET", "/{rest:path}", log_in.nowhere)
