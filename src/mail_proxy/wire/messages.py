"""Stored messages on the wire: listing, events, retry, removal."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field

from mail_proxy.domain.message import EventType, MessageState
from mail_proxy.domain.waiting import MEANINGS, WaitReason
from mail_proxy.wire.fields import (
    Answer,
    Identifier,
    Matching,
    OfTenant,
    OneLine,
    Request,
    Seconds,
)
from mail_proxy.wire.instants import Timestamp
from mail_proxy.wire.pec import PecOut

PageSize = Annotated[int, Field(ge=1, le=1000)]
SearchText = Annotated[OneLine, Field(max_length=255)]
Cursor = Annotated[
    str,
    Matching(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "must be a next_cursor of this listing"),
]


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


#: RFC 5321 section 4.2.
ReplyCode = Annotated[int, Field(ge=200, le=599)]
States = Annotated[list[MessageState], BeforeValidator(_one_or_many), Field(max_length=20)]


class ListingOrder(StrEnum):
    """Order of a listing, by the time of intake."""

    NEWEST = "newest"
    OLDEST = "oldest"


class FailedRecipients(StrEnum):
    """The status of recipients that a listing can ask for."""

    FAILED = "failed"


class Ids(OfTenant):
    """Client identifiers of messages."""

    ids: list[Identifier] = Field(description="The client's identifiers.", max_length=10_000)


class DeletedOut(Answer):
    """Result for each id."""

    removed: int = Field(description="Number of messages that were removed.")
    not_found: list[str] = Field(description="Ids without a message in reach.")
    unauthorized: list[str] = Field(
        description="Ids of another tenant; shown to the administrator only."
    )
    in_progress: list[str] = Field(description="Messages that are being sent; they stay.")


class RetryMessages(OfTenant):
    """Messages in error to put back into the queue.

    All filters that are given have to hold. At least one is required.
    """

    ids: list[Identifier] | None = Field(None, max_length=10_000, description="Single messages.")
    account_id: Identifier | None = Field(None, description="All of an account.")
    batch_code: Identifier | None = Field(None, description="All of a batch.")
    from_ts: Timestamp | None = Field(None, description="Taken in at this time or later.")
    to_ts: Timestamp | None = Field(None, description="Taken in up to this second.")
    error_like: SearchText | None = Field(
        None, min_length=1, description="A part of the error's text, in any case."
    )
    now: bool = Field(False, description="Make messages in state deferred due as well.")
    dry_run: bool = Field(False, description="Only count the messages.")


class RetriedOut(Answer):
    """Number of messages that were put back into the queue, and ids that were not."""

    requeued: int = Field(
        description="Messages that are due now; with `dry_run`, those that would be."
    )
    not_found: list[str] = Field(description="Ids without a message in reach.")
    not_failed: list[str] = Field(
        description="Ids of messages that are not in error (with `now`, nor deferred), or whose "
        "account is removed."
    )


class CleanupMessages(OfTenant):
    """Which finished messages to remove."""

    older_than_seconds: Seconds | None = Field(
        None, description="Seconds since the last report; default: the retention."
    )


class CleanedOut(Answer):
    """Number of messages that were removed."""

    removed: int = Field(description="Number of messages.")


class MessageRef(Request):
    """A message, by the client's own identifier."""

    id: Identifier


class MessageQuery(Request):
    """The filters of ``GET /messages``, and the page that is wanted."""

    active_only: bool = False
    status: States | None = None
    account_id: Identifier | None = None
    batch_code: Identifier | None = None
    id: Identifier | None = None
    waiting: WaitReason | None = None
    q: SearchText | None = None
    recipient_status: FailedRecipients | None = None
    code: ReplyCode | None = None
    from_ts: Timestamp | None = None
    to_ts: Timestamp | None = None
    order: ListingOrder = ListingOrder.NEWEST
    limit: PageSize = 100
    cursor: Cursor | None = None


class WaitOut(BaseModel):
    """Reason why an unfinished message waits."""

    reason: WaitReason = Field(
        description="; ".join(f"{reason}: {meaning}" for reason, meaning in MEANINGS.items()) + "."
    )
    until: int | None = Field(description="When the wait ends, Unix seconds; null if unknown.")
    detail: str | None = Field(description="Details, for some reasons.")


class MessageOut(BaseModel):
    """One message. Times are Unix seconds."""

    id: str = Field(description="The client's identifier.")
    pk: str = Field(description="Internal UUID; sorts by time.")
    tenant_id: str = Field(description="Tenant of the message.")
    account_id: str = Field(description="Account that sends the message.")
    status: str = Field(description="pending, sending, sent, deferred or error.")
    priority: int = Field(description="0-3; 0 is sent first.")
    batch_code: str | None = Field(description="Batch (campaign) of the message.")
    sender: str = Field(
        description="Header From.",
        validation_alias=AliasChoices("sender", "from"),
        serialization_alias="from",
    )
    to: list[str] = Field(description="Recipients.")
    cc: list[str] = Field(description="Recipients.")
    bcc: list[str] = Field(description="Recipients that are in no header.")
    subject: str = Field(description="Subject.")
    message_id: str = Field(description="Message-ID that is sent.")
    created_ts: int = Field(description="When the message was queued.")
    deferred_ts: int | None = Field(description="Next attempt of a waiting message.")
    expires_ts: int | None = Field(description="The message is not sent after this time.")
    sent_ts: int | None = Field(description="When the mail server accepted the message.")
    error_ts: int | None = Field(description="When the message was given up.")
    error: str | None = Field(description="Last error; for a finished message, the final one.")
    waiting: WaitOut | None = Field(
        description="Why the message waits; null for a finished message."
    )
    retry_count: int = Field(description="Attempts that failed temporarily.")
    recipients: list[dict[str, Any]] | None = Field(
        description="The server's answer for each recipient, if they differ."
    )
    bounce_ts: int | None = Field(None, description="When the message came back the last time.")
    bounce_type: str | None = Field(None, description="hard or soft.")
    bounce_code: str | None = Field(None, description="Enhanced status code, or reply code.")
    bounce_reason: str | None = Field(None, description="The server's words.")
    bounce_recipient: str | None = Field(None, description="Address that it came back from.")
    bounce_category: str | None = Field(None, description="Cause, such as unknown_user.")
    pec: PecOut | None = Field(
        None, description="What receipts say about a PEC message; null for other messages."
    )


class MessagesOut(Answer):
    """A page of messages.

    ``next_cursor`` is null on the last page only. A page looks into 20000 messages, and for half a
    second, at most. With ``q``, ``code``, ``recipient_status``, ``waiting`` or several filters, a
    page may be short or empty before the last one.
    """

    messages: list[MessageOut] = Field(description="The page.")
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one.")


class MessageAnswer(Answer):
    """One message."""

    message: MessageOut = Field(description="The message.")


class EventOut(BaseModel):
    """An event in the life of a message."""

    event_type: str = Field(
        description=f"{', '.join(EventType)}, bounce, complaint, or an event of certified mail: "
        "pec_acceptance, pec_relay, pec_delivery, pec_warning, pec_error, pec_timeout."
    )
    event_ts: float = Field(description="When it happened, Unix seconds with milliseconds.")
    event_data: dict[str, Any] = Field(description="Details, as they are reported.")
    reported_ts: int | None = Field(description="When the application acknowledged it.")


class EventsOut(Answer):
    """The events of a message, oldest first."""

    events: list[EventOut] = Field(description="The events.")
