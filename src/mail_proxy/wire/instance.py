"""JSON shapes of the instance and its run-time settings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from mail_proxy.wire.fields import Answer, Name, NotBool, Priority, Request, Seconds


class RuntimeSettings(Request):
    """Settings that may change while the service runs, for all its processes.

    Null restores the value that the service was started with.
    """

    default_priority: Priority | None = Field(
        None, description="For messages that give none: 0-3, immediate, high, medium, low."
    )
    max_enqueue_batch: Annotated[int, NotBool, Field(ge=1, le=100_000)] | None = Field(
        None, description="Most messages in one add-messages call."
    )
    # With the smallest value a call that corrects it still fits.
    max_body_mb: Annotated[float, NotBool, Field(ge=0.1, le=1024)] | None = Field(
        None, description="Largest request body, MB (10^6 bytes)."
    )
    report_retention_seconds: Seconds | None = Field(
        None,
        description="Finished messages are removed this long after their last report, seconds.",
    )
    audit_retention_days: Annotated[int, NotBool, Field(ge=1, le=100_000)] | None = Field(
        None, description="Entries of the audit log are removed after this many days."
    )


class InstanceIn(Request):
    """The fields of the instance that can be set; fields that are left out stay."""

    name: Name | None = Field(None, description="Name to show.")
    settings: RuntimeSettings | None = Field(None, description="Settings to change.")


class InstanceOut(BaseModel):
    """The instance as it is now."""

    name: str = Field(description="Name to show.")
    version: str = Field(description="Version of the program.")
    settings: dict[str, Any] = Field(description="Run-time settings with the values in effect.")
    changed_settings: list[str] = Field(description="Settings that were changed with PUT.")
    created_at: int = Field(description="When the instance was created.")
    updated_at: int = Field(description="When the instance was last changed.")


class InstanceAnswer(Answer):
    """The instance."""

    instance: InstanceOut = Field(description="The instance.")
