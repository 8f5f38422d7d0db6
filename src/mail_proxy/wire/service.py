"""State of the instance on the wire."""

from __future__ import annotations

import importlib.metadata

from pydantic import Field

from mail_proxy.wire.fields import Answer


class Status(Answer):
    """``active``: the loops may run; ``scheduler_active``: the dispatcher does."""

    active: bool = Field(description="Whether the loops may run.")
    scheduler_active: bool = Field(description="Whether the dispatcher runs.")
    pending_messages: int = Field(
        description="Messages that are not finished; with a tenant key the tenant's."
    )
    uptime_seconds: float = Field(description="Since the start.")
    version: str = Field(description="Version of the program.")
    database: str = Field(description="sqlite or postgresql.")


def program_version() -> str:
    """Version of the installed distribution."""
    return importlib.metadata.version("genro-mail-proxy")
