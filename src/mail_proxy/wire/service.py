"""JSON shape of the instance's state."""

from __future__ import annotations

import importlib.metadata
from functools import cache

from pydantic import Field

from mail_proxy.wire.fields import Answer


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


@cache
def program_version() -> str:
    """Return the version of the installed package."""
    return importlib.metadata.version("genro-mail-proxy")
