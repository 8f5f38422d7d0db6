"""Messages after intake: list, look at, remove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mail_proxy.domain.mail import Address
from mail_proxy.domain.message import WAITING, MessageState
from mail_proxy.errors import NotFound
from mail_proxy.operations.operation import Context, operation
from mail_proxy.operations.wait_reasons import WaitReason, wait_reasons
from mail_proxy.sql.messages import listing
from mail_proxy.sql.messages.listing import MessageFilter
from mail_proxy.sql.messages.mail_codec import load_mail
from mail_proxy.sql.table import Row
from mail_proxy.wire.messages import (
    DeletedOut,
    EventOut,
    EventsOut,
    Ids,
    MessageAnswer,
    MessageOut,
    MessagesOut,
)


@dataclass(frozen=True)
class ListMessages:
    """``limit`` is 1-1000; ``cursor`` is the ``next_cursor`` of the page before."""

    active_only: bool = False
    status: MessageState | None = None
    account_id: str | None = None
    batch_code: str | None = None
    id: str | None = None
    q: str | None = None
    limit: int = 100
    cursor: str | None = None


@dataclass(frozen=True)
class MessageRef:
    """A message by the client's own identifier."""

    id: str


@operation("messages.list")
def list_messages(context: Context, request: ListMessages) -> MessagesOut:
    """A page of messages, newest first."""
    wanted = MessageFilter(
        tenant_id=context.tenant_id,
        active_only=request.active_only,
        state=request.status,
        account_id=request.account_id,
        batch_code=request.batch_code,
        id=request.id,
        text=request.q,
    )
    found = listing.page(context.connection, wanted, request.limit, request.cursor)
    held_up = wait_reasons(
        context, (row["account_pk"] for row in found.rows if row["state"] in WAITING)
    )
    return MessagesOut(
        messages=[_shown(row, held_up.get(row["account_pk"])) for row in found.rows],
        next_cursor=found.next_pk,
    )


@operation("messages.get")
def get(context: Context, request: MessageRef) -> MessageAnswer:
    """One message."""
    row = _detail(context, request.id)
    held_up = wait_reasons(context, [row["account_pk"]]) if row["state"] in WAITING else {}
    return MessageAnswer(message=_shown(row, held_up.get(row["account_pk"])))


@operation("messages.events")
def events(context: Context, request: MessageRef) -> EventsOut:
    """What happened to a message, oldest first."""
    row = _detail(context, request.id)
    found = context.tables.events.of_message(context.connection, context.tenant_id, row["pk"])
    return EventsOut(
        events=[
            EventOut(
                event_type=e["event_type"],
                event_ts=round(e["event_at"], 3),
                event_data=_told(e["data"] or {}),
                reported_ts=_whole(e["reported_at"]),
            )
            for e in found
        ]
    )


@operation("messages.delete", mutates=True)
def delete(context: Context, request: Ids) -> DeletedOut:
    """Remove messages that are not being sent."""
    ids = list(dict.fromkeys(request.ids))
    connection, messages = context.connection, context.tables.messages
    removed = messages.remove_waiting_or_done(connection, context.tenant_id, ids)
    rest = [i for i in ids if i not in removed]
    sending = {i for _, i in messages.states(connection, [(context.tenant_id, i) for i in rest])}
    gone = [i for i in rest if i not in sending]
    foreign: set[str] = set()
    if context.caller.is_admin and gone:
        foreign = messages.elsewhere(connection, context.tenant_id, gone)
    return DeletedOut(
        removed=len(removed),
        not_found=[i for i in gone if i not in foreign],
        unauthorized=[i for i in gone if i in foreign],
        in_progress=[i for i in rest if i in sending],
    )


def _told(data: dict[str, Any]) -> dict[str, Any]:
    """What is stored of an event, with its times as they are reported."""
    return {k: _whole(v) if k.endswith("_ts") else v for k, v in data.items()}


def _detail(context: Context, message_id: str) -> Row:
    row = context.tables.messages.detail(context.connection, context.tenant_id, message_id)
    if row is None:
        raise NotFound("no such message")
    return row


def _shown(row: Row, holdup: WaitReason | None) -> MessageOut:
    mail = load_mail(row["content"])
    state = row["state"]
    ended = {MessageState.SENT: "sent_ts", MessageState.ERROR: "error_ts"}.get(state)
    times: dict[str, int | None] = {"sent_ts": None, "error_ts": None}
    if ended is not None:
        times[ended] = _whole(row["state_at"])
    due_at, error = row["due_at"], row["error"]
    if state in WAITING and holdup is not None and holdup.until > due_at:
        due_at, error = holdup.until, holdup.reason
    return MessageOut(
        **{name: row[name] for name in _COPIED},
        **times,
        status=state,
        sender=_text(mail.sender),
        to=[_text(a) for a in mail.to],
        cc=[_text(a) for a in mail.cc],
        bcc=[_text(a) for a in mail.bcc],
        subject=mail.subject,
        message_id=mail.message_id,
        created_ts=int(row["created_at"]),
        deferred_ts=int(due_at) if state in WAITING else None,
        error=error,
        expires_ts=_whole(row["expires_at"]),
        retry_count=row["retries"],
        recipients=row["recipient_results"],
    )


_COPIED = ("id", "pk", "tenant_id", "account_id", "priority", "batch_code")


def _text(address: Address) -> str:
    return f"{address.name} <{address.email}>" if address.name else address.email


def _whole(instant: Any) -> int | None:
    return None if instant is None else int(instant)
