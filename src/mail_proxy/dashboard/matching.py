"""Messages that pass a filter line, page by page, from ``messages.list``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from mail_proxy.dashboard.filters import LineFilter
from mail_proxy.dashboard.visit import Visit
from mail_proxy.operations import messages
from mail_proxy.wire.messages import MessageOut

#: Messages of one request to the operation.
_AT_ONCE = 500
#: Time after which one page of the dashboard looks no further.
_MOST_SECONDS = 1.0


async def page(
    visit: Visit, wanted: LineFilter, tenant_id: str | None, limit: int, cursor: str | None
) -> tuple[list[MessageOut], str | None]:
    """Return messages that pass, and the cursor of the next page, None at the end.

    A page may be short, or empty, and still have a next one.
    """
    found: list[MessageOut] = []
    began = time.perf_counter()
    while True:
        # With tests of its own, the filter looks at whole pages, so that no message is skipped.
        answer = await visit.ask(
            messages.list_messages, wanted.query(limit - len(found), cursor), tenant_id
        )
        found += wanted.passing(answer.messages)
        cursor = answer.next_cursor
        late = time.perf_counter() - began >= _MOST_SECONDS
        if cursor is None or len(found) >= limit or late:
            return found, cursor


async def every(
    visit: Visit, wanted: LineFilter, tenant_id: str | None, most: int
) -> AsyncIterator[list[MessageOut]]:
    """Yield all messages that pass, at most ``most``, in pages."""
    cursor, left = None, most
    while left > 0:
        answer = await visit.ask(
            messages.list_messages, wanted.query(min(_AT_ONCE, left), cursor), tenant_id
        )
        found = wanted.passing(answer.messages)[:left]
        left -= len(found)
        yield found
        cursor = answer.next_cursor
        if cursor is None:
            return
