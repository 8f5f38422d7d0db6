"""Routes of messages: add, list, get, events, delete, retry, clean up."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request

from mail_proxy.api.bodies import read_body
from mail_proxy.api.deps import Call, PathId, Route, TenantQuery, tenant_of
from mail_proxy.domain.message import MessageState
from mail_proxy.domain.waiting import WaitReason
from mail_proxy.operations import intake
from mail_proxy.operations import messages as operations
from mail_proxy.wire.batches import AddMessages, AddMessagesOut
from mail_proxy.wire.fields import Identifier, OfTenant
from mail_proxy.wire.instants import Timestamp
from mail_proxy.wire.messages import (
    CleanedOut,
    CleanupMessages,
    Cursor,
    DeletedOut,
    EventsOut,
    FailedRecipients,
    Ids,
    ListingOrder,
    MessageAnswer,
    MessageQuery,
    MessageRef,
    MessagesOut,
    PageSize,
    ReplyCode,
    RetriedOut,
    RetryMessages,
    SearchText,
)

router = APIRouter(tags=["messages"], route_class=Route)
_ADD_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AddMessages"}}},
    }
}
#: Models of bodies that a route reads itself, so that FastAPI does not know them.
EXTRA_MODELS = (AddMessages,)


@router.post("/commands/add-messages", openapi_extra=_ADD_BODY)
async def add(call: Call, request: Request, tenant_id: TenantQuery = None) -> AddMessagesOut:
    """Queue a batch of messages, each of which is checked alone.

    Queued messages are on disk before the answer is sent. `tenant_id` is for messages that name
    none.
    """
    # Straight from bytes: a model of the whole body would refuse good messages together with
    # bad ones, and take twice the time.
    batch = await intake.read_batch(await read_body(request), call.most_messages)
    if request.scope["query_string"]:
        # Read here, because the fast path calls this function without parameters of the query.
        named = OfTenant.model_validate(dict(request.query_params)).tenant_id
        batch = replace(batch, tenant_id=tenant_of(named, batch.tenant_id))
    return await call(intake.add, batch)


@router.post("/commands/delete-messages")
async def delete(call: Call, body: Ids, tenant_id: TenantQuery = None) -> DeletedOut:
    """Remove messages; those that are being sent are listed in `in_progress` and stay."""
    return await call(operations.delete, body, tenant_of(tenant_id, body.tenant_id))


@router.post("/commands/retry-messages")
async def retry(call: Call, body: RetryMessages, tenant_id: TenantQuery = None) -> RetriedOut:
    """Put messages in `error` back into the queue, with a retry count of 0.

    All filters that are given have to hold. With `now`, messages in `deferred` become due as
    well; their retry count stays.
    """
    return await call(operations.retry, body, tenant_of(tenant_id, body.tenant_id))


@router.post("/commands/cleanup-messages")
async def cleanup(
    call: Call,
    body: CleanupMessages | None = None,
    tenant_id: TenantQuery = None,
) -> CleanedOut:
    """Remove finished messages whose every event was reported long enough ago."""
    wanted = body or CleanupMessages()
    return await call(operations.cleanup, wanted, tenant_of(tenant_id, wanted.tenant_id))


@router.get("/messages")
async def list_messages(
    call: Call,
    tenant_id: TenantQuery = None,
    active_only: Annotated[bool, Query(description="Only unfinished messages.")] = False,
    status: Annotated[
        list[MessageState] | None,
        Query(description="Only messages with this status; may be given several times."),
    ] = None,
    account_id: Annotated[
        Identifier | None, Query(description="Only messages of this account.")
    ] = None,
    batch_code: Annotated[
        Identifier | None, Query(description="Only messages of this batch.")
    ] = None,
    id: Annotated[Identifier | None, Query(description="Only the message with this id.")] = None,
    waiting: Annotated[
        WaitReason | None, Query(description="Only unfinished messages that wait for this reason.")
    ] = None,
    q: Annotated[
        SearchText | None,
        Query(description="Part of a recipient's address or of the subject."),
    ] = None,
    recipient_status: Annotated[
        FailedRecipients | None,
        Query(description="Only messages with a recipient that was refused or given up."),
    ] = None,
    code: Annotated[
        ReplyCode | None,
        Query(description="Only messages whose last error or deferral has this SMTP reply code."),
    ] = None,
    from_ts: Annotated[
        Timestamp | None, Query(description="Only messages taken in at this time or later.")
    ] = None,
    to_ts: Annotated[
        Timestamp | None, Query(description="Only messages taken in up to this second.")
    ] = None,
    order: Annotated[
        ListingOrder, Query(description="Which messages come first.")
    ] = ListingOrder.NEWEST,
    limit: Annotated[PageSize, Query(description="Most messages in the answer.")] = 100,
    cursor: Annotated[
        Cursor | None,
        Query(description="The `next_cursor` of the previous page, with the same `order`."),
    ] = None,
) -> MessagesOut:
    """List messages. All filters that are given have to hold.

    A call looks into 20000 messages, and for half a second, at most. With `q`, `code`,
    `recipient_status`, `waiting` or several filters, a page may therefore be short or empty before
    the last one. Follow `next_cursor` until it is null: every match comes once.
    """
    request = MessageQuery(
        active_only=active_only,
        status=status or None,
        account_id=account_id,
        batch_code=batch_code,
        id=id,
        waiting=waiting,
        q=q,
        recipient_status=recipient_status,
        code=code,
        from_ts=from_ts,
        to_ts=to_ts,
        order=order,
        limit=limit,
        cursor=cursor,
    )
    return await call(operations.list_messages, request, tenant_id)


@router.get("/messages/{id}/events")
async def events(call: Call, id: PathId, tenant_id: TenantQuery = None) -> EventsOut:
    """Return the events of a message, oldest first."""
    request = MessageRef(id=id)
    return await call(operations.events, request, tenant_id)


@router.get("/messages/{id}")
async def get(call: Call, id: PathId, tenant_id: TenantQuery = None) -> MessageAnswer:
    """Return one message as it is now."""
    request = MessageRef(id=id)
    return await call(operations.get, request, tenant_id)
