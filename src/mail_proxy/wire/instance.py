"""The instance itself on the wire."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from mail_proxy.wire.fields import Answer, Name, NotBool, Priority, Request, Seconds


class RuntimeSettings(Request):
    """Settings that may change while the service runs; they hold for all its processes.

    A setting that is null is again what the service was started with.
    """

    default_priority: Priority | None = Field(
        None, description="Where a message gives none: 0-3, immediate, high, medium, low."
    )
    max_enqueue_batch: Annotated[int, NotBool, Field(ge=1, le=100_000)] | None = Field(
        None, description="Most messages in one add-messages call."
    )
    # The least one still lets the call in that sets it right again.
    max_body_mb: Annotated[float, NotBool, Field(ge=0.1, le=1024)] | None = Field(
        None, description="Largest request body, MB (10^6 bytes)."
    )
    report_retention_seconds: Seconds | None = Field(
        None, description="Finished messages go this long after their last report."
    )
    audit_retention_days: Annotated[int, NotBool, Field(ge=1, le=100_000)] | None = Field(
        None, description="Entries of the audit log go after this many days."
    )


class InstanceIn(Request):
    """What can be set of the instance; what is left out stays."""

    name: Name | None = Field(None, description="Name to show.")
    settings: RuntimeSettings | None = Field(None, description="Settings to change.")


class InstanceOut(BaseModel):
    """The instance as it is now."""

    name: str = Field(description="Name to show.")
    version: str = Field(description="Version of the program.")
    settings: dict[str, Any] = Field(description="Settings that may change, as they are in effect.")
    changed_settings: list[str] = Field(description="Those that were set with PUT.")
    created_at: int = Field(description="When it was made.")
    updated_at: int = Field(description="When it was last changed.")


class InstanceAnswer(Answer):
    """The instance."""

    instance: InstanceOut = Field(description="The instance.")
