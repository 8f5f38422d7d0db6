"""Messages with a filter line, and what can be done with all that match."""

from __future__ import annotations

import time

from pydantic import ValidationError
from starlette.responses import Response

from mail_proxy.dashboard.filters import KEYS, LineFilter, read_line
from mail_proxy.dashboard.forms import reason_of
from mail_proxy.dashboard.matching import every, page
from mail_proxy.dashboard.page import Page
from mail_proxy.dashboard.visit import Visit
from mail_proxy.domain.message import MessageState
from mail_proxy.errors import Forbidden, Malformed
from mail_proxy.operations import messages, service
from mail_proxy.wire.messages import Ids, MessageOut, RetryMessages
from mail_proxy.wire.mistakes import malformed, mistake, mistakes_of

_SHOWN = 50
#: Messages that one action touches at most; the page says so, and can be used again.
MOST_AT_ONCE = 10_000
_WAITING = (MessageState.PENDING, MessageState.DEFERRED)


async def listing(visit: Visit) -> Response:
    """Show a page of messages that pass the filter line."""
    tenant_id = visit.tenant_id
    if tenant_id is None and not visit.caller.is_admin:
        raise Forbidden("the messages of all tenants are the administrator's")
    line = visit.query("q", 500)
    found: list[MessageOut] = []
    cursor, reasons = None, list[str]()
    wanted = LineFilter(line, {})
    try:
        wanted = read_line(line)
        found, cursor = await page(visit, wanted, tenant_id, _SHOWN, visit.query("cursor", 100))
    except ValidationError as error:
        reasons = reason_of(malformed(*mistakes_of(error.errors(), None, lambda _: None)))
    except Malformed as error:
        reasons = reason_of(error)
    return await visit.show(
        "messages.html",
        422 if reasons else 200,
        tenant_id=tenant_id,
        line=line,
        wanted=wanted,
        messages=found,
        cursor=cursor,
        is_first=not visit.query("cursor"),
        reasons=reasons,
        keys=KEYS,
        now=time.time(),
    )


async def retry(visit: Visit) -> Response:
    """Put messages back into the queue: the ticked ones, or all that match."""
    line = visit.form.text("q")
    chosen = await _chosen(visit, (MessageState.ERROR, MessageState.DEFERRED))
    if not visit.form.is_set("sure"):
        return await _confirm(visit, "retry", chosen)
    retried = 0
    if chosen:
        request = RetryMessages(ids=chosen, now=True)
        retried = (await visit.ask(messages.retry, request, visit.tenant_id)).requeued
    return visit.go(visit.tenant_path("messages", q=line, done="retried", n=retried))


async def remove(visit: Visit) -> Response:
    """Remove messages that wait: they are not sent any more."""
    line = visit.form.text("q")
    chosen = await _chosen(visit, _WAITING)
    if not visit.form.is_set("sure"):
        return await _confirm(visit, "remove", chosen)
    removed = 0
    if chosen:
        answer = await visit.ask(messages.delete, Ids(ids=chosen), visit.tenant_id)
        removed = answer.removed
    return visit.go(visit.tenant_path("messages", q=line, done="removed", n=removed))


async def run(visit: Visit) -> Response:
    """Deliver and report now, and try paused accounts again."""
    await visit.ask(service.run_now, None, visit.tenant_id)
    return visit.go(_back(visit, "run"))


async def _chosen(visit: Visit, states: tuple[MessageState, ...]) -> list[str]:
    """Return the ids of the ticked messages or, with ``all``, of those that match."""
    if not visit.form.is_set("all"):
        ids = visit.form.texts("id")
        if not ids:
            raise malformed(
                mistake("id", visit.gettext("tick a message, or choose all that match"))
            )
        return list(dict.fromkeys(ids))[:MOST_AT_ONCE]
    wanted = read_line(visit.form.text("q"))
    named = wanted.fields.get("status", list(states))
    wanted.fields["status"] = [state for state in named if state in states]
    found: list[str] = []
    if wanted.fields["status"]:
        async for these in every(visit, wanted, visit.tenant_id, MOST_AT_ONCE):
            found += [message.id for message in these]
    return found


async def _confirm(visit: Visit, action: str, chosen: list[str]) -> Response:
    is_all = visit.form.is_set("all")
    return await visit.show(
        "confirm_messages.html",
        action=action,
        tenant_id=visit.tenant_id,
        number=len(chosen),
        ids=[] if is_all else chosen,
        is_all=is_all,
        line=visit.form.text("q"),
        most=MOST_AT_ONCE,
    )


def _back(visit: Visit, done: str) -> str:
    """Return the overview to go back to, of the tenant or the instance."""
    tenant_id = visit.request.path_params.get("tenant")
    segments = ["t", visit.part("tenant"), ""] if tenant_id else [""]
    return visit.path(*segments, done=done)


PAGES = (
    Page("GET", "/messages", listing),
    Page("GET", "/t/{tenant}/messages", listing),
    Page("POST", "/t/{tenant}/messages/retry", retry),
    Page("POST", "/t/{tenant}/messages/remove", remove),
    Page("POST", "/run", run),
    Page("POST", "/t/{tenant}/run", run),
)
