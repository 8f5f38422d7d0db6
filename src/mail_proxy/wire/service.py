"""State of the instance on the wire."""

from __future__ import annotations

import importlib.metadata

from pydantic import BaseModel


class Status(BaseModel):
    """``active``: the loops may run; ``scheduler_active``: the dispatcher does."""

    ok: bool = True
    active: bool
    scheduler_active: bool
    pending_messages: int
    uptime_seconds: float
    version: str
    database: str


def program_version() -> str:
    """Version of the installed distribution."""
    return importlib.metadata.version("genro-mail-proxy")
