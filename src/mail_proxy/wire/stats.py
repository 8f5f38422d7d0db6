"""JSON shapes of the counters: query, buckets, cursor."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mail_proxy.wire.cursors import Cursor
from mail_proxy.wire.fields import Answer, Request
from mail_proxy.wire.instants import Timestamp

StatsPageSize = Annotated[int, Field(ge=1, le=10_000)]


_EXAMPLE: dict[str, Any] = {
    "bucket_ts": 1_789_999_200,
    "tenant_id": "acme",
    "account_id": "smtp",
    "queued": 120,
    "sent": 117,
    "deferred": 4,
    "error": 1,
    "bounced": 0,
    "complained": 0,
    "reported": 122,
}
_EXAMPLE_CURSOR = "WyJob3VyIiwiYWNjb3VudCIsMTc4OTk5OTIwMCwiYWNtZSIsInNtdHAiXQ"


class Bucket(StrEnum):
    """Width of a bucket of counters."""

    HOUR = "hour"
    DAY = "day"


class StatsGroup(StrEnum):
    """Subjects whose counters are shown apart."""

    TENANT = "tenant"
    ACCOUNT = "account"
    #: Everything together.
    ALL = "all"


class StatsQuery(Request):
    """The range and the grouping of ``GET /stats``, and the page that is wanted."""

    from_ts: Timestamp | None = None
    to_ts: Timestamp | None = None
    bucket: Bucket = Bucket.HOUR
    by: StatsGroup = StatsGroup.TENANT
    limit: StatsPageSize = 1000
    cursor: Cursor | None = None


class StatsOut(BaseModel):
    """Counters of one hour or day of a tenant, or of one of its accounts."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    bucket_ts: int = Field(description="Beginning of the hour or day (UTC), Unix seconds.")
    tenant_id: str = Field(
        description="Tenant of the messages; `*` for those of all tenants, by all."
    )
    account_id: str | None = Field(None, description="Account of the messages; only by account.")
    queued: int = Field(description="Messages taken in; a replaced or retried message counts once.")
    sent: int = Field(description="Messages that a mail server accepted.")
    deferred: int = Field(description="Times that a message was put off to be tried again.")
    error: int = Field(description="Messages that were given up.")
    bounced: int = Field(description="Messages that came back after they had been sent.")
    complained: int = Field(description="Messages that a recipient has complained about.")
    reported: int = Field(description="Events that the application has acknowledged.")


class StatsAnswer(Answer):
    """A page of counters, by time, tenant and account.

    An hour or day in which nothing happened is left out.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"ok": True, "stats": [_EXAMPLE], "next_cursor": _EXAMPLE_CURSOR}]
        }
    )

    stats: list[StatsOut] = Field(description="The page.")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one.")
