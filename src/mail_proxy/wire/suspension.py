"""JSON shapes of suspending and activating a queue."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mail_proxy.wire.fields import Answer, Identifier, Request


class BatchRef(Request):
    """A batch of the tenant or, without ``batch_code``, everything of the tenant."""

    batch_code: Identifier | None = Field(None, description="One batch; null: everything.")

    def model_post_init(self, context: Any) -> None:
        """Count ``batch_code`` as given, so that the audit log shows a null."""
        self.model_fields_set.add("batch_code")


class SuspensionOut(Answer):
    """Suspended batches after the call; ``*`` stands for the whole tenant."""

    tenant_id: str = Field(description="The tenant.")
    batch_code: str | None = Field(description="The batch that the call named; null: everything.")
    suspended_batches: list[str] = Field(
        description="Batches suspended after the call; `*` means everything."
    )
    pending_messages: int = Field(description="How many unfinished messages the call affects.")
