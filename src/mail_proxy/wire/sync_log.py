"""The log of report calls on the wire."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field

from mail_proxy.wire.fields import Answer


class CallOutcome(StrEnum):
    """How a call to a tenant's application went. All but OK acknowledged nothing."""

    OK = "ok"
    #: The application answered ``ok: false``.
    REFUSED = "refused"
    #: Another HTTP status than 2xx.
    STATUS = "status"
    #: 2xx, but not a JSON object, or too large.
    BAD_ANSWER = "bad_answer"
    TIMEOUT = "timeout"
    #: No connection, or one that broke off.
    CONNECTION = "connection"
    #: It could not be made, for example with a secret that is not one.
    SETTINGS = "settings"
    #: A ``report_delivery_callable`` raised.
    RAISED = "raised"


class SyncCallOut(BaseModel):
    """One call to the tenant's application."""

    called_ts: int = Field(description="When it was made, in Unix seconds.")
    seconds: float = Field(description="How long it took.")
    outcome: CallOutcome = Field(description="All but `ok` acknowledged nothing.")
    status: int | None = Field(description="HTTP status; null: none came.")
    error: str | None = Field(description="What was wrong, in words.")
    reports: int = Field(description="How many were told.")
    acknowledged: int = Field(description="How many of them the application took.")
    bytes_sent: int = Field(description="Size of the body, whether it arrived or not.")
    bytes_received: int = Field(description="How much of an answer with status 2xx was read.")


class SyncLogOut(Answer):
    """The newest call first."""

    calls: list[SyncCallOut] = Field(description="At most 100 are kept of a tenant.")
