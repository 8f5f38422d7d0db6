"""Operations on queued messages: list, get, events, delete, retry, clean up."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from mail_proxy.domain.facts import MessagesDue
from mail_proxy.domain.mail import Address
from mail_proxy.domain.message import WAITING, MessageState
from mail_proxy.domain.waiting import Wait, WaitReason
from mail_proxy.errors import NotFound
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.operations.wait_reasons import wait_reasons
from mail_proxy.operations.whose import MOST_NAMED, of_one_tenant
from mail_proxy.sql.chunks import ChunkedWork
from mail_proxy.sql.messages import listing
from mail_proxy.sql.messages.listing import MessageFilter, Page
from mail_proxy.sql.messages.mail_codec import load_mail
from mail_proxy.sql.messages.purge import MessagePurge
from mail_proxy.sql.messages.retry import RetryFilter
from mail_proxy.sql.messages.returned import last_bounces
from mail_proxy.sql.table import Row
from mail_proxy.sql.tables.pec import CertifiedMessage
from mail_proxy.wire.messages import (
    CleanedOut,
    CleanupMessages,
    DeletedOut,
    EventOut,
    EventsOut,
    Ids,
    ListingOrder,
    MessageAnswer,
    MessageOut,
    MessageQuery,
    MessageRef,
    MessagesOut,
    RetriedOut,
    RetryMessages,
    WaitOut,
)
from mail_proxy.wire.mistakes import malformed, mistake
from mail_proxy.wire.pec import PecOut, PecRecipientOut

_RETRY_FILTERS = ("ids", "account_id", "batch_code", "from_ts", "to_ts", "error_like")


@dataclass(frozen=True)
class _Retry:
    """A retry that is allowed.

    It puts the messages ``pks`` back or, with None, all that pass the filter. ``named`` is the
    answer about the ids of the request.
    """

    wanted: RetryFilter
    pks: list[str] | None
    named: RetriedOut
    dry_run: bool
    now: float


@dataclass(frozen=True)
class _Cleanup:
    """A removal that is allowed: of messages whose last report was before ``before``."""

    tenant_id: str
    before: float


@operation("messages.list", scope=Scope.TENANT_OR_ALL, command="listMessages")
def list_messages(context: Context, request: MessageQuery) -> MessagesOut:
    """Return a page of messages in the order of intake."""
    wanted = MessageFilter(
        tenant_id=context.tenant_id or None,
        active_only=request.active_only,
        wanted_states=request.status,
        account_id=request.account_id,
        batch_code=request.batch_code,
        id=request.id,
        text=request.q,
        recipient_failed=request.recipient_status is not None,
        code=request.code,
        created_from=request.from_ts,
        created_before=_end_of_second(request.to_ts),
    )
    if request.waiting is not None:
        found, waits = _waiting_page(context, wanted, request)
    else:
        found = _page(context, wanted, request, request.limit, request.cursor)
        waits = wait_reasons(context, found.rows)
    return MessagesOut(
        messages=_with_returned(context, [_shown(row, waits.get(row["pk"])) for row in found.rows]),
        next_cursor=found.next_pk,
    )


def _page(
    context: Context, wanted: MessageFilter, request: MessageQuery, limit: int, place: str | None
) -> Page:
    oldest_first = request.order is ListingOrder.OLDEST
    return listing.page(context.connection, wanted, limit, place, oldest_first=oldest_first)


def _waiting_page(
    context: Context, wanted: MessageFilter, request: MessageQuery
) -> tuple[Page, dict[str, Wait]]:
    """Return unfinished messages that wait for one reason.

    The reason is not stored, so messages are examined one by one, up to a limit of number and
    time.
    """
    wanted = replace(wanted, active_only=True)
    kept: list[Row] = []
    waits: dict[str, Wait] = {}
    looked_at, place, began = 0, request.cursor, time.perf_counter()
    while looked_at < listing.MOST_LOOKED_AT:
        found = _page(context, wanted, request, _EXAMINED_AT_ONCE, place)
        waits |= wait_reasons(context, found.rows)
        for row in found.rows:
            if waits[row["pk"]].reason == request.waiting:
                kept.append(row)
                if len(kept) == request.limit:
                    return Page(kept, row["pk"]), waits
        if found.next_pk is None:
            return Page(kept, None), waits
        looked_at, place = looked_at + _EXAMINED_AT_ONCE, found.next_pk
        if time.perf_counter() - began >= listing.MOST_SECONDS:
            break
    return Page(kept, place), waits


@operation("messages.get", scope=Scope.TENANT_OR_ALL)
def get(context: Context, request: MessageRef) -> MessageAnswer:
    """Return one message.

    Raises SeveralTenants for an administrator's call that names no tenant, if several have it.
    """
    context, row = detail_of(context, request.id)
    message = _shown(row, wait_reasons(context, [row]).get(row["pk"]))
    return MessageAnswer(message=_with_returned(context, [message])[0])


@operation("messages.events", scope=Scope.TENANT_OR_ALL)
def events(context: Context, request: MessageRef) -> EventsOut:
    """Return the events of a message, oldest first.

    Raises SeveralTenants as ``get`` does.
    """
    context, row = detail_of(context, request.id)
    found = context.tables.events.history(
        context.connection, context.tenant_id, row["pk"], row["created_at"]
    )
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
    requeued = 0
    async for pks in _pages_to_retry(parts, order):
        if order.dry_run:
            requeued += len(pks)
            continue
        while pks:
            these, pks = pks[: chunks.size], pks[chunks.size :]
            requeued += await chunks.one(retried.retry, these, order.now)
            if order.wanted.deferred:
                requeued += await chunks.one(retried.make_due, these, order.now)
            parts.bus.publish(MessagesDue())
    return order.named.model_copy(update={"requeued": requeued})


async def _pages_to_retry(parts: Parts, order: _Retry) -> AsyncIterator[list[str]]:
    if order.pks is not None:
        yield order.pks
        return
    page, place = await parts.db.read(parts.tables.retried.page, order.wanted, None)
    yield page
    while place is not None:
        page, place = await parts.db.read(parts.tables.retried.page, order.wanted, place)
        yield page


@operation("messages.retry", mutates=True, then=_retry)
def retry(context: Context, request: RetryMessages) -> _Retry:
    """Put messages in error back into the queue, except those of removed accounts.

    Raises Malformed unless at least one filter is given.
    """
    if all(getattr(request, name) is None for name in _RETRY_FILTERS):
        message = "one of these filters is required"
        raise malformed(*(mistake(name, message) for name in _RETRY_FILTERS))
    wanted = RetryFilter(
        context.tenant_id,
        account_id=request.account_id,
        batch_code=request.batch_code,
        created_from=request.from_ts,
        created_before=_end_of_second(request.to_ts),
        error_like=request.error_like,
        deferred=request.now,
    )
    pks, named = None, RetriedOut(requeued=0, not_found=[], not_failed=[])
    if request.ids is not None:
        ids = list(dict.fromkeys(request.ids))
        found = context.tables.retried.named(context.connection, wanted, ids)
        pks = [message.pk for message in found if message.failed and message.fits]
        there = {message.id for message in found}
        named.not_found = [i for i in ids if i not in there]
        named.not_failed = [message.id for message in found if not message.failed]
    return _Retry(wanted, pks, named, request.dry_run, context.now)


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


def _end_of_second(at: float | None) -> float | None:
    """Return the end of the whole second, in which times are shown."""
    return None if at is None else math.floor(at) + 1.0


def detail_of(context: Context, message_id: str) -> tuple[Context, Row]:
    """Return a message, and the context of its tenant."""
    messages, connection = context.tables.messages, context.connection
    if not context.tenant_id:
        tenants = messages.tenants_with(connection, message_id, MOST_NAMED + 1)
        context = of_one_tenant(context, tenants, "message")
    row = messages.detail(connection, context.tenant_id, message_id)
    if row is None:
        raise NotFound("no such message")
    return context, row


def _shown(row: Row, wait: Wait | None) -> MessageOut:
    mail = load_mail(row["content"])
    state = row["state"]
    ended = {MessageState.SENT: "sent_ts", MessageState.ERROR: "error_ts"}.get(state)
    times: dict[str, int | None] = {"sent_ts": None, "error_ts": None}
    if ended is not None:
        times[ended] = _whole(row["state_at"])
    due_at, error = row["due_at"], row["error"]
    if wait is not None and wait.reason in _OF_THE_ACCOUNT and (wait.until or 0) > due_at:
        due_at, error = wait.until, wait.detail or wait.reason
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
        waiting=None if wait is None else _wait_shown(wait),
        expires_ts=_whole(row["expires_at"]),
        retry_count=row["retries"],
        recipients=row["recipient_results"],
    )


def _with_returned(context: Context, shown: list[MessageOut]) -> list[MessageOut]:
    """Return messages with the fields of their last bounce, and of their PEC receipts.

    Only sent ones come back.
    """
    sent = [message.pk for message in shown if message.status == MessageState.SENT]
    bounces = last_bounces(context.connection, sent)
    receipts = context.tables.pec.among(context.connection, [message.pk for message in shown])
    returned: dict[str, dict[str, Any]] = {pk: dict(found) for pk, found in bounces.items()}
    for pk, found in receipts.items():
        returned.setdefault(pk, {})["pec"] = _pec_shown(found)
    return [
        message.model_copy(update=returned[message.pk]) if message.pk in returned else message
        for message in shown
    ]


def _pec_shown(found: CertifiedMessage) -> PecOut:
    recipients = [
        PecRecipientOut(address=address, **{**news, "ts": int(news["ts"])})
        for address, news in found.recipients.items()
    ]
    return PecOut(
        accepted_ts=_whole(found.accepted_at),
        timed_out_ts=_whole(found.timed_out_at),
        recipients=recipients,
    )


def _wait_shown(wait: Wait) -> WaitOut:
    return WaitOut(reason=wait.reason, until=_whole(wait.until), detail=wait.detail)


#: Reasons that are not stored with a message, as it is not written to while they hold.
_OF_THE_ACCOUNT = (WaitReason.ACCOUNT_PAUSED, WaitReason.RATE_LIMIT)
_EXAMINED_AT_ONCE = 1000
_COPIED = ("id", "pk", "tenant_id", "account_id", "priority", "batch_code")


def _text(address: Address) -> str:
    return f"{address.name} <{address.email}>" if address.name else address.email


def _whole(instant: Any) -> int | None:
    return None if instant is None else int(instant)


ALL = (list_messages, get, events, delete, retry, cleanup)
