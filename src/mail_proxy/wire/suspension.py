"""Answers about suspended queues."""

from __future__ import annotations

from pydantic import BaseModel, Field


class SuspensionOut(BaseModel):
    """State after the call; ``*`` in ``suspended_batches`` is everything."""

    ok: bool = True
    tenant_id: str
    batch_code: str | None
    suspended_batches: list[str]
    pending_messages: int = Field(description="How many messages the call touches.")
