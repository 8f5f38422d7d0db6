"""Answers about suspended queues."""

from __future__ import annotations

from pydantic import Field

from mail_proxy.wire.fields import Answer


class SuspensionOut(Answer):
    """State after the call; ``*`` in ``suspended_batches`` is everything."""

    tenant_id: str = Field(description="The tenant.")
    batch_code: str | None = Field(description="The batch of the call; null: everything.")
    suspended_batches: list[str] = Field(
        description="What is suspended after the call; `*` is everything."
    )
    pending_messages: int = Field(description="How many messages the call touches.")
