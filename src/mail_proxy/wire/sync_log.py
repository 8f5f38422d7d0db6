"""JSON shapes of the log of report calls."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field

from mail_proxy.wire.fields import Answer, Request


class CallOutcome(StrEnum):
    """Result of a call to a tenant's application. Only OK acknowledges reports."""

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
    #: No call was made, because a URL or a secret is invalid.
    SETTINGS = "settings"
    #: A ``report_delivery_callable`` raised.
    RAISED = "raised"


class CallFilter(Request):
    """The newest ``limit`` calls."""

    limit: int = Field(100, ge=1, le=100)


class SyncCallOut(BaseModel):
    """One call to the tenant's application."""

    called_ts: int = Field(description="When the call was made, in Unix seconds.")
    seconds: float = Field(description="Duration in seconds.")
    outcome: CallOutcome = Field(description="Only `ok` acknowledges reports.")
    status: int | None = Field(description="HTTP status; null: no answer.")
    error: str | None = Field(description="Why the call failed.")
    reports: int = Field(description="Number of reports in the call.")
    acknowledged: int = Field(description="Number of reports that the application acknowledged.")
    bytes_sent: int = Field(description="Size of the request body, whether it arrived or not.")
    bytes_received: int = Field(description="Bytes read of an answer with status 2xx.")


class SyncLogOut(Answer):
    """The last calls to a tenant's application, newest first."""

    calls: list[SyncCallOut] = Field(description="At most 100 calls are kept for a tenant.")
