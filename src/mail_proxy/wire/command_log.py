"""JSON shapes of the audit log."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mail_proxy.wire.fields import Answer, Request, Seconds


class CommandOut(BaseModel):
    """A call that changed something, a failed log-in, or a call that was refused."""

    id: int = Field(description="Number of the entry; it grows with each entry.")
    command_ts: int = Field(description="When the call was made.")
    operation: str | None = Field(description="Name of the operation; null for a failed log-in.")
    endpoint: str = Field(description="Method and route, or the operation's name.")
    tenant_id: str | None = Field(
        description="Tenant that the call is about; null: the instance, or several."
    )
    actor: str = Field(description="admin, tenant:ID, or nobody for a failed log-in.")
    address: str | None = Field(description="Network address of the caller.")
    request_id: str | None = Field(description="X-Request-ID of the call.")
    status: int = Field(description="HTTP status of the answer.")
    error: str | None = Field(description="Why the call was refused.")
    payload: Any = Field(description="The request; secrets and contents of mails are ********.")


class CommandsOut(Answer):
    """Entries of the audit log, newest first."""

    commands: list[CommandOut] = Field(description="The entries.")


class CommandAnswer(Answer):
    """One entry of the audit log."""

    command: CommandOut = Field(description="The entry.")


class PurgeLog(Request):
    """Which entries to remove from the audit log."""

    older_than_seconds: Seconds | None = Field(
        None, description="Least age of the entries, seconds; default: audit_retention_days."
    )


class PurgedOut(Answer):
    """Number of audit entries that were removed."""

    removed: int = Field(description="Number of entries.")


class LoggedCommand(BaseModel):
    """The part of an exported entry that a replay reads."""

    model_config = ConfigDict(extra="ignore")

    operation: str | None = None
    command_ts: float = Field(ge=0, le=253_402_300_799, allow_inf_nan=False)
    tenant_id: str | None = None
    actor: str | None = None
    status: int
    payload: Any = None


class ReplayedOut(Answer):
    """Result of a replay."""

    replayed: int = Field(description="Entries that were run again.")
    skipped: int = Field(
        description="Entries that are not repeated: messages, keys, refused calls."
    )
