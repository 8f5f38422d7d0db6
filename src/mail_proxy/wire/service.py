"""JSON shape of the instance's state."""

from __future__ import annotations

import importlib.metadata
from functools import cache

from pydantic import BaseModel, Field

from mail_proxy.wire.fields import Answer, Request


class StatusQuery(Request):
    """Extent of ``GET /status``."""

    full: bool = False


class Attention(BaseModel):
    """Entry of the attention list: a trouble that an operator has to mend."""

    code: str = Field(
        description="account_paused, reports_failing, queue_late, dispatcher_stopped or disk_short."
    )
    text: str = Field(description="The trouble, in words.")
    since_ts: int | None = Field(None, description="Since when, Unix seconds; null if unknown.")
    tenant_id: str | None = Field(None, description="Tenant that it is about, if it is one.")
    account_id: str | None = Field(None, description="Account that it is about, if it is one.")
    waiting: int | None = Field(None, description="Unfinished messages that it holds up.")


class Status(Answer):
    """State of the instance: whether it sends, and how much is waiting."""

    active: bool = Field(description="Whether the setting scheduler_active allows sending.")
    scheduler_active: bool = Field(description="Whether the dispatcher is running.")
    pending_messages: int = Field(
        description="Unfinished messages; with a tenant key, the tenant's."
    )
    uptime_seconds: float = Field(description="Time since the start, seconds.")
    version: str = Field(description="Version of the program.")
    database: str = Field(description="sqlite or postgresql.")
    waiting: dict[str, int] | None = Field(
        None, description="Unfinished messages by the reason why they wait; only with `full`."
    )
    oldest_due_seconds: float | None = Field(
        None,
        description="How long the message has been due whose turn is next; null without one; only "
        "with `full`.",
    )
    attention: list[Attention] | None = Field(
        None, description="Troubles that an operator has to mend, [] if none; only with `full`."
    )


@cache
def program_version() -> str:
    """Return the version of the installed package."""
    return importlib.metadata.version("genro-mail-proxy")
