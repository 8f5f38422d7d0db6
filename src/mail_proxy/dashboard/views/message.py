"""One message: how it stands, its recipients, its time line, and what can be done."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from mail_proxy.dashboard.page import Page
from mail_proxy.dashboard.visit import Visit
from mail_proxy.errors import NotFound
from mail_proxy.operations import accounts, command_log, messages
from mail_proxy.operations.command_log import LogPage
from mail_proxy.sql.tables.command_log import LogFilter
from mail_proxy.wire.accounts import AccountOut, AccountRef
from mail_proxy.wire.messages import EventOut, Ids, MessageOut, MessageRef, RetryMessages

#: Entries of the audit log that are searched for those about a message.
_SEARCHED = 200
_UNFINISHED = ("pending", "deferred")


@dataclass(frozen=True)
class Recipient:
    """Recipient with the answer of the server.

    ``state`` is that of the message if there is no answer.
    """

    address: str
    field: str
    state: str
    text: str


@dataclass(frozen=True)
class Moment:
    """Entry of the time line: an event, or something that somebody did."""

    at: float
    kind: str
    detail: str
    reported_ts: int | None = None
    actor: str | None = None


async def show(visit: Visit) -> Response:
    """Show one message."""
    found, moments = await _read(visit)
    account = await _account(visit, found.account_id)
    return await visit.show(
        "message.html",
        tenant_id=visit.tenant_id,
        message=found,
        moments=moments,
        recipients=_recipients(found),
        account=account,
        now=time.time(),
        curl=_curl(visit, found),
        is_open=found.status in _UNFINISHED,
    )


async def retry(visit: Visit) -> Response:
    """Try a message again at once."""
    id_ = visit.part("id")
    request = RetryMessages(ids=[id_], now=True)
    answer = await visit.ask(messages.retry, request, visit.tenant_id)
    if answer.not_found:
        raise NotFound("no such message")
    return visit.go(visit.tenant_path("m", id_, done="retried", n=answer.requeued))


async def remove(visit: Visit) -> Response:
    """Remove a message: one that waits is not sent any more."""
    id_ = visit.part("id")
    if not visit.form.is_set("sure"):
        found = (await visit.ask(messages.get, MessageRef(id=id_), visit.tenant_id)).message
        return await visit.show("confirm_message.html", tenant_id=visit.tenant_id, message=found)
    answer = await visit.ask(messages.delete, Ids(ids=[id_]), visit.tenant_id)
    if answer.in_progress:
        return visit.go(visit.tenant_path("m", id_, done="in_progress"))
    if not answer.removed:
        raise NotFound("no such message")
    return visit.go(visit.tenant_path("messages", done="removed", n=1))


async def _read(visit: Visit) -> tuple[MessageOut, list[Moment]]:
    reference = MessageRef(id=visit.part("id"))
    found = (await visit.ask(messages.get, reference, visit.tenant_id)).message
    events = (await visit.ask(messages.events, reference, visit.tenant_id)).events
    moments = [_moment(event) for event in events]
    if visit.caller.is_admin:
        moments += await _done_to(visit, found.id)
    return found, sorted(moments, key=lambda moment: moment.at)


async def _account(visit: Visit, account_id: str) -> AccountOut | None:
    """Return the account of the message, or None if it was deleted."""
    try:
        asked = AccountRef(id=account_id)
        return (await visit.ask(accounts.get, asked, visit.tenant_id)).account
    except NotFound:
        return None


async def _done_to(visit: Visit, message_id: str) -> list[Moment]:
    """Return what people did to the message, of the newest entries of the audit log."""
    wanted = LogFilter(tenant_id=visit.tenant_id)
    entries = (await visit.ask(command_log.list_commands, LogPage(wanted, _SEARCHED))).commands
    return [
        Moment(entry.command_ts, entry.operation or "", entry.endpoint, actor=entry.actor)
        for entry in entries
        if isinstance(entry.payload, dict) and message_id in (entry.payload.get("ids") or ())
    ]


def _moment(event: EventOut) -> Moment:
    data = event.event_data
    names = ("error", "deferred_reason", "bounce_reason", "reason", "detail", "recipient")
    words = next((str(data[name]) for name in names if data.get(name)), "")
    return Moment(event.event_ts, event.event_type, words[:2000], event.reported_ts)


def _recipients(message: MessageOut) -> list[Recipient]:
    results = {str(r["address"]).lower(): r for r in message.recipients or ()}
    return [
        _recipient(message, field, text, results)
        for field in ("to", "cc", "bcc")
        for text in getattr(message, field)
    ]


def _recipient(
    message: MessageOut, field: str, text: str, results: Mapping[str, Mapping[str, Any]]
) -> Recipient:
    address = text.rpartition("<")[2].rstrip(">").lower()
    if message.bounce_recipient and message.bounce_recipient.lower() == address:
        return Recipient(text, field, "bounced", message.bounce_reason or "")
    result = results.get(address)
    if result is not None:
        state = str(result.get("status"))
        words = f"{result.get('code') or ''} {result.get('response') or ''}".strip()
        return Recipient(text, field, "error" if state == "failed" else state, words[:1000])
    words = message.error or "" if message.status in ("error", "deferred") else ""
    return Recipient(text, field, message.status, words[:1000])


def _curl(visit: Visit, message: MessageOut) -> str:
    root = visit.base.removesuffix("/ui")
    place = f"{visit.request.url.scheme}://{visit.request.url.netloc}{root}"
    tenant = f"?tenant_id={quote(message.tenant_id, safe='')}" if visit.caller.is_admin else ""
    return (
        f'curl -H "X-API-Token: $TOKEN" '
        f"'{place}/messages/{quote(message.id, safe='')}/events{tenant}'"
    )


PAGES = (
    Page("GET", "/t/{tenant}/m/{id}", show),
    Page("POST", "/t/{tenant}/m/{id}/retry", retry),
    Page("POST", "/t/{tenant}/m/{id}/remove", remove),
)
