"""Operations on queued messages: list, get, events, delete, retry, clean up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mail_proxy.domain.facts import MessagesDue
from mail_proxy.domain.mail import Address
from mail_proxy.domain.message import WAITING, MessageState
from mail_proxy.errors import NotFound
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.operations.wait_reasons import WaitReason, wait_reasons
from mail_proxy.sql.chunks import ChunkedWork
from mail_proxy.sql.messages import listing
from mail_proxy.sql.messages.listing import MessageFilter
from mail_proxy.sql.messages.mail_codec import load_mail
from mail_proxy.sql.messages.purge import MessagePurge
from mail_proxy.sql.table import Row
from mail_proxy.wire.messages import (
    CleanedOut,
    CleanupMessages,
    DeletedOut,
    EventOut,
    EventsOut,
    Ids,
    MessageAnswer,
    MessageOut,
    MessageQuery,
    MessageRef,
    MessagesOut,
    RetriedOut,
    RetryMessages,
)
from mail_proxy.wire.mistakes import malformed, mistake


@dataclass(frozen=True)
class _Retry:
    """A retry that is allowed: of a batch, or of single messages (``pks``)."""

    tenant_id: str
    batch_code: str | None
    pks: list[str]
    now: float


@dataclass(frozen=True)
class _Cleanup:
    """A removal that is allowed: of messages whose last report was before ``before``."""

    tenant_id: str
    before: float


@operation("messages.list", scope=Scope.TENANT_OR_ALL, command="listMessages")
def list_messages(context: Context, request: MessageQuery) -> MessagesOut:
    """Return a page of messages, newest first."""
    wanted = MessageFilter(
        tenant_id=context.tenant_id or None,
        active_only=request.active_only,
        wanted_states=request.status,
        account_id=request.account_id,
        batch_code=request.batch_code,
        id=request.id,
        text=request.q,
    )
    found = listing.page(context.connection, wanted, request.limit, request.cursor)
    waiting = wait_reasons(
        context, (row["account_pk"] for row in found.rows if row["state"] in WAITING)
    )
    return MessagesOut(
        messages=[_shown(row, waiting.get(row["account_pk"])) for row in found.rows],
        next_cursor=found.next_pk,
    )


@operation("messages.get")
def get(context: Context, request: MessageRef) -> MessageAnswer:
    """Return one message."""
    row = _detail(context, request.id)
    waiting = wait_reasons(context, [row["account_pk"]]) if row["state"] in WAITING else {}
    return MessageAnswer(message=_shown(row, waiting.get(row["account_pk"])))


@operation("messages.events")
def events(context: Context, request: MessageRef) -> EventsOut:
    """Return the events of a message, oldest first."""
    row = _detail(context, request.id)
    found = context.tables.events.of_message(context.connection, context.tenant_id, row["pk"])
    return EventsOut(
        events=[
            EventOut(
                event_type=e["event_type"],
                event_ts=round(e["event_at"], 3),
                event_data=_reported(e["data"] or {}),
                reported_ts=_whole(e["reported_at"]),
            )
            for e in found
        ]
    )


@operation("messages.delete", mutates=True, command="deleteMessages")
def delete(context: Context, request: Ids) -> DeletedOut:
    """Remove messages, except those that are being sent."""
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


async def _retry(parts: Parts, order: _Retry) -> RetriedOut:
    """Put the messages back in chunks. After an error the call may be repeated."""
    retried, chunks = parts.tables.retried, ChunkedWork(parts.db)
    requeued, after = 0, None
    while pks := await _next_to_retry(parts, order, after, chunks.size):
        requeued += await chunks.one(retried.retry, pks, order.now)
        parts.bus.publish(MessagesDue())
        after = pks[-1]
    return RetriedOut(requeued=requeued)


async def _next_to_retry(
    parts: Parts, order: _Retry, after: str | None, limit: int
) -> Sequence[str]:
    if order.batch_code is None:
        return [pk for pk in order.pks if after is None or pk > after][:limit]
    batch = (order.tenant_id, order.batch_code)
    return await parts.db.read(parts.tables.retried.of_batch, *batch, after, limit)


@operation("messages.retry", mutates=True, then=_retry)
def retry(context: Context, request: RetryMessages) -> _Retry:
    """Put messages in error back into the queue, except those of removed accounts.

    Raises Malformed unless exactly one of ``ids`` and ``batch_code`` is given.
    """
    fields = ("ids", "batch_code")
    given = [name for name in fields if getattr(request, name) is not None]
    if len(given) != 1:
        message = "only one of the two may be given" if given else "one of the two is required"
        raise malformed(*(mistake(name, message) for name in fields))
    pks = context.tables.retried.named(context.connection, context.tenant_id, request.ids or [])
    return _Retry(context.tenant_id, request.batch_code, pks, context.now)


async def _cleanup(parts: Parts, order: _Cleanup) -> CleanedOut:
    """Remove the messages in chunks. After an error the call may be repeated."""
    removed, _ = await MessagePurge(parts.db).messages(order.tenant_id, order.before)
    return CleanedOut(removed=removed)


@operation("messages.cleanup", mutates=True, command="cleanupMessages", then=_cleanup)
def cleanup(context: Context, request: CleanupMessages) -> _Cleanup:
    """Remove finished messages whose every event was reported long enough ago."""
    age = request.older_than_seconds
    if age is None:
        tenant = context.tables.tenants.get(context.connection, id=context.tenant_id)
        age = tenant["retention_seconds"]
    if age is None:
        age = context.queue.report_retention_seconds
    return _Cleanup(context.tenant_id, context.now - age)


def _reported(data: dict[str, Any]) -> dict[str, Any]:
    """Return the stored data of an event, with its times as they are reported."""
    return {k: _whole(v) if k.endswith("_ts") else v for k, v in data.items()}


def _detail(context: Context, message_id: str) -> Row:
    row = context.tables.messages.detail(context.connection, context.tenant_id, message_id)
    if row is None:
        raise NotFound("no such message")
    return row


def _shown(row: Row, wait: WaitReason | None) -> MessageOut:
    mail = load_mail(row["content"])
    state = row["state"]
    ended = {MessageState.SENT: "sent_ts", MessageState.ERROR: "error_ts"}.get(state)
    times: dict[str, int | None] = {"sent_ts": None, "error_ts": None}
    if ended is not None:
        times[ended] = _whole(row["state_at"])
    due_at, error = row["due_at"], row["error"]
    if state in WAITING and wait is not None and wait.until > due_at:
        due_at, error = wait.until, wait.reason
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


ALL = (list_messages, get, events, delete, retry, cleanup)
