"""Calls about the counters of messages by hour or day."""

from __future__ import annotations

from typing import Literal

from mail_proxy.client.calls import Given, Group, Mode, When, call
from mail_proxy.client.reading import model
from mail_proxy.wire.stats import StatsAnswer


class Stats(Group[Mode]):
    """Calls about the counters of messages."""

    @call("GET", "/stats", model(StatsAnswer))
    def list(
        self,
        *,
        from_ts: When | None = None,
        to_ts: When | None = None,
        bucket: Literal["hour", "day"] | None = None,
        by: Literal["tenant", "account"] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        tenant_id: str | None = None,
    ) -> Given:
        """Return a page of counters by hour or day, oldest first.

        ``iterate`` goes through all pages.
        """
        query = {
            "from_ts": from_ts,
            "to_ts": to_ts,
            "bucket": bucket,
            "by": by,
            "limit": limit,
            "cursor": cursor,
        }
        return Given(query=query, tenant_id=tenant_id)

    iterate = list.pages(lambda page: page.stats)  # noqa: A003 - the call above
