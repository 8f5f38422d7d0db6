"""Messages: hand in, list, look at, remove."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from mail_proxy.api.deps import AnyCaller, PathId, Route, Service, TenantQuery, running
from mail_proxy.domain.message import MessageState
from mail_proxy.operations import messages as operations
from mail_proxy.operations.callers import Caller
from mail_proxy.proxy import MailProxy
from mail_proxy.wire.fields import Identifier
from mail_proxy.wire.messages import (
    AddMessages,
    AddMessagesOut,
    CleanedOut,
    CleanupMessages,
    Cursor,
    DeletedOut,
    EventsOut,
    Ids,
    MessageAnswer,
    MessagesOut,
    PageSize,
    RetriedOut,
    RetryMessages,
    SearchText,
    parse_batch,
)

router = APIRouter(tags=["messages"], route_class=Route)
_ADD_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/AddMessages"}}},
    }
}
#: Schemas that no route names by type, because it reads its body itself.
EXTRA_MODELS = (AddMessages,)


@router.post("/commands/add-messages", openapi_extra=_ADD_BODY)
async def add(service: Service, caller: AnyCaller, request: Request) -> AddMessagesOut:
    """Queue a batch. Each message is judged alone; what is queued is on disk when this answers."""
    return await _add(service, caller, request)


async def take_in(request: Request) -> AddMessagesOut:
    """``add`` for a request that was admitted to its route."""
    return await _add(running(request), request.state.caller, request)


async def _add(service: MailProxy, caller: Caller, request: Request) -> AddMessagesOut:
    # Straight from bytes: a model of the whole body would refuse good messages together with
    # bad ones, and take twice the time.
    batch = parse_batch(await request.body(), service.queue.max_enqueue_batch)
    return await service.intake.add(caller, batch)


@router.post("/commands/delete-messages")
async def delete(
    service: Service, caller: AnyCaller, body: Ids, tenant_id: TenantQuery = None
) -> DeletedOut:
    """Remove messages; one that is being sent is listed in `in_progress` and stays."""
    return await service.door.call(operations.delete, caller, body, tenant_id)


@router.post("/commands/retry-messages")
async def retry(
    service: Service, caller: AnyCaller, body: RetryMessages, tenant_id: TenantQuery = None
) -> RetriedOut:
    """Put messages in `error` back into the queue, each with a fresh retry count."""
    return await service.upkeep.retry(caller, body, tenant_id)


@router.post("/commands/cleanup-messages")
async def cleanup(
    service: Service,
    caller: AnyCaller,
    body: CleanupMessages | None = None,
    tenant_id: TenantQuery = None,
) -> CleanedOut:
    """Remove finished messages whose every event was reported longer ago than that."""
    return await service.upkeep.cleanup(caller, body or CleanupMessages(), tenant_id)


@router.get("/messages")
async def list_messages(
    service: Service,
    caller: AnyCaller,
    tenant_id: TenantQuery = None,
    active_only: Annotated[bool, Query(description="Only messages that are not finished.")] = False,
    status: Annotated[MessageState | None, Query(description="Only with this status.")] = None,
    account_id: Annotated[Identifier | None, Query(description="Only of this account.")] = None,
    batch_code: Annotated[Identifier | None, Query(description="Only of this batch.")] = None,
    id: Annotated[Identifier | None, Query(description="Only this one.")] = None,
    q: Annotated[
        SearchText | None,
        Query(
            description="Part of a recipient's address or of the subject.",
        ),
    ] = None,
    limit: Annotated[PageSize, Query(description="Most messages in the answer.")] = 100,
    cursor: Annotated[
        Cursor | None, Query(description="The `next_cursor` of the page before.")
    ] = None,
) -> MessagesOut:
    """Messages, newest first.

    A call looks into 20000 messages at most. One filter alone leads straight to its messages; with
    `q`, or with several filters, a page may therefore be short or even empty before the last one.
    Follow `next_cursor` until it is null: every hit comes once.
    """
    request = operations.ListMessages(
        active_only, status, account_id, batch_code, id, q, limit, cursor
    )
    return await service.door.call(operations.list_messages, caller, request, tenant_id)


@router.get("/messages/{id}/events")
async def events(
    service: Service, caller: AnyCaller, id: PathId, tenant_id: TenantQuery = None
) -> EventsOut:
    """What happened to a message, oldest first."""
    request = operations.MessageRef(id)
    return await service.door.call(operations.events, caller, request, tenant_id)


@router.get("/messages/{id}")
async def get(
    service: Service, caller: AnyCaller, id: PathId, tenant_id: TenantQuery = None
) -> MessageAnswer:
    """One message as it is now."""
    request = operations.MessageRef(id)
    return await service.door.call(operations.get, caller, request, tenant_id)
