"""Batches, report calls, suppressions, storages, DKIM keys and audit log."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.responses import Response

from mail_proxy.dashboard.forms import reason_of
from mail_proxy.dashboard.page import Page, View
from mail_proxy.dashboard.visit import Visit
from mail_proxy.errors import RequestError
from mail_proxy.features.dkim import operations as dkim
from mail_proxy.features.storages import operations as storages
from mail_proxy.features.suppressions import operations as suppressions
from mail_proxy.operations import command_log, messages, suspension, sync_log, tenants
from mail_proxy.operations import service as running
from mail_proxy.operations.command_log import LogPage
from mail_proxy.sql.tables.command_log import LogFilter
from mail_proxy.wire.dkim import DkimKeyIn, DkimKeyRef
from mail_proxy.wire.messages import MessageQuery
from mail_proxy.wire.mistakes import malformed, mistake, mistakes_of
from mail_proxy.wire.service import StatusQuery
from mail_proxy.wire.storages import StorageIn, StorageRef
from mail_proxy.wire.suppressions import SuppressionIn, SuppressionRef, SuppressionsQuery
from mail_proxy.wire.suspension import BatchRef
from mail_proxy.wire.sync_log import CallFilter

#: Newest messages in which batches are looked for.
_LOOKED_AT = 1000
_PAGE = 100


async def batches(visit: Visit) -> Response:
    """Show the batches of the newest messages, and those that are suspended."""
    asked = MessageQuery(limit=_LOOKED_AT)
    found = (await visit.ask(messages.list_messages, asked, visit.tenant_id)).messages
    tenant = (await visit.ask(tenants.get, None, visit.tenant_id)).tenant
    counts: dict[str, Counter[str]] = {}
    for message in found:
        if message.batch_code:
            counts.setdefault(message.batch_code, Counter())[message.status] += 1
    for code in tenant.suspended_batches:
        if code != "*":
            counts.setdefault(code, Counter())
    return await visit.show(
        "batches.html",
        tenant_id=visit.tenant_id,
        batches=counts,
        suspended=tenant.suspended_batches,
        looked_at=len(found),
    )


async def suspend(visit: Visit) -> Response:
    """Suspend the tenant or one batch, after the visitor has seen how much waits."""
    batch = visit.form.text("batch_code") or None
    if not visit.form.is_set("sure"):
        status = await visit.ask(running.status, StatusQuery(full=False), visit.tenant_id)
        return await visit.show(
            "confirm_suspend.html",
            tenant_id=visit.tenant_id,
            batch=batch,
            number=status.pending_messages,
        )
    answer = await visit.ask(suspension.suspend, BatchRef(batch_code=batch), visit.tenant_id)
    path = visit.tenant_path("batches", done="suspended", n=answer.pending_messages)
    return visit.go(path)


async def activate(visit: Visit) -> Response:
    """Let the tenant or one batch go on."""
    batch = visit.form.text("batch_code") or None
    answer = await visit.ask(suspension.activate, BatchRef(batch_code=batch), visit.tenant_id)
    return visit.go(visit.tenant_path("batches", done="activated", n=answer.pending_messages))


async def reports(visit: Visit) -> Response:
    """Show the last calls to the tenant's application."""
    calls = (await visit.ask(sync_log.list_calls, CallFilter(), visit.tenant_id)).calls
    tenant = (await visit.ask(tenants.get, None, visit.tenant_id)).tenant
    status = await visit.ask(running.status, StatusQuery(full=True), visit.tenant_id)
    return await visit.show(
        "reports.html", tenant_id=visit.tenant_id, calls=calls, tenant=tenant, status=status
    )


async def suppressed(visit: Visit) -> Response:
    """Show a page of the suppression list, or one address of it."""
    return await _suppressed(visit, [])


async def suppress(visit: Visit) -> Response:
    """Add an address to the suppression list."""

    async def add() -> str:
        asked = SuppressionIn(**visit.form.given("address", "detail"))
        added = (await visit.ask(suppressions.add, asked, visit.tenant_id)).added
        return visit.tenant_path("suppressions", done="added", n=added)

    return await _do(visit, add, _suppressed)


async def unsuppress(visit: Visit) -> Response:
    """Take an address off the suppression list."""
    asked = SuppressionRef(address=visit.form.text("address"))
    await visit.ask(suppressions.delete, asked, visit.tenant_id)
    return visit.go(visit.tenant_path("suppressions", done="removed", n=1))


async def _suppressed(visit: Visit, reasons: list[str]) -> Response:
    query: dict[str, Any] = {"limit": _PAGE, "cursor": visit.query("cursor") or None}
    wanted = visit.query("q", 998).strip()
    found, cursor = [], None
    try:
        if wanted:
            query = {"address": wanted}
        answer = await visit.ask(
            suppressions.list_suppressions, SuppressionsQuery(**query), visit.tenant_id
        )
        found, cursor = answer.suppressions, answer.next_cursor
    except ValidationError as error:
        reasons = [*reasons, *reason_of(malformed(*mistakes_of(error.errors(), None, _nothing)))]
    return await visit.show(
        "suppressions.html",
        422 if reasons else 200,
        tenant_id=visit.tenant_id,
        entries=found,
        cursor=cursor,
        wanted=wanted,
        reasons=reasons,
    )


async def mounts(visit: Visit) -> Response:
    """Show the storages of the tenant."""
    return await _mounts(visit, [])


async def mount(visit: Visit) -> Response:
    """Save a storage."""

    async def save() -> str:
        try:
            config = orjson.loads(visit.form.text("config") or "{}")
        except orjson.JSONDecodeError:
            raise malformed(mistake("config", "must be a JSON object")) from None
        asked = StorageIn(**visit.form.given("name", "protocol"), config=config)
        await visit.ask(storages.save, asked, visit.tenant_id)
        return visit.tenant_path("storages", done="saved")

    return await _do(visit, save, _mounts)


async def unmount(visit: Visit) -> Response:
    """Delete a storage; its files stay."""
    asked = StorageRef(name=visit.form.text("name"))
    await visit.ask(storages.delete, asked, visit.tenant_id)
    return visit.go(visit.tenant_path("storages", done="deleted"))


async def _mounts(visit: Visit, reasons: list[str]) -> Response:
    found = (await visit.ask(storages.list_storages, None, visit.tenant_id)).storages
    status = 422 if reasons else 200
    data = {"storages": found, "reasons": reasons}
    return await visit.show("storages.html", status, tenant_id=visit.tenant_id, **data)


async def keys(visit: Visit) -> Response:
    """Show the DKIM keys of the tenant with the records to publish."""
    return await _keys(visit, [])


async def add_key(visit: Visit) -> Response:
    """Make a DKIM key for a domain."""

    async def add() -> str:
        asked = DkimKeyIn(**visit.form.given("domain", "selector", "algorithm"))
        await visit.ask(dkim.create, asked, visit.tenant_id)
        return visit.tenant_path("dkim", done="saved")

    return await _do(visit, add, _keys)


async def check_key(visit: Visit) -> Response:
    """Compare a DKIM key with the DNS, and show what is there."""
    asked = DkimKeyRef(domain=visit.form.text("domain"), selector=visit.form.text("selector"))
    checked = await visit.ask(dkim.check, asked, visit.tenant_id)
    return await _keys(visit, [], checked=checked, about=(asked.domain, asked.selector))


async def remove_key(visit: Visit) -> Response:
    """Remove a DKIM key; mails are not signed with it any more."""
    asked = DkimKeyRef(domain=visit.form.text("domain"), selector=visit.form.text("selector"))
    await visit.ask(dkim.delete, asked, visit.tenant_id)
    return visit.go(visit.tenant_path("dkim", done="deleted"))


async def _keys(
    visit: Visit, reasons: list[str], checked: Any = None, about: tuple[str, str] | None = None
) -> Response:
    found = (await visit.ask(dkim.list_keys, None, visit.tenant_id)).keys
    data = {"keys": found, "reasons": reasons, "checked": checked, "about": about}
    status = 422 if reasons else 200
    return await visit.show("dkim.html", status, tenant_id=visit.tenant_id, **data)


async def audit(visit: Visit) -> Response:
    """Show the audit log, of one tenant or of the instance; it is the administrator's."""
    path_tenant = "tenant" in visit.request.path_params
    tenant_id = visit.part("tenant") if path_tenant else None
    wanted = LogFilter(tenant_id=tenant_id, endpoint=visit.query("endpoint", 255) or None)
    place = visit.query("offset", 9)
    offset = int(place) if place.isdecimal() else 0
    found = (
        await visit.ask(command_log.list_commands, LogPage(wanted, _PAGE + 1, offset))
    ).commands
    return await visit.show(
        "audit.html",
        tenant_id=tenant_id,
        entries=found[:_PAGE],
        next_offset=offset + _PAGE if len(found) > _PAGE else None,
        endpoint=visit.query("endpoint", 255),
    )


async def _do(visit: Visit, act: Any, show: Any) -> Response:
    """Do something and send the browser on, or show the page with what is wrong."""
    try:
        return visit.go(await act())
    except ValidationError as error:
        refused: RequestError = malformed(*mistakes_of(error.errors(), None, _nothing))
    except RequestError as error:
        if error.http_status not in (400, 409, 422):
            raise
        refused = error
    response: Response = await show(visit, reason_of(refused))
    return response


def _nothing(_: Any) -> None:
    """Show no values: they may be secrets."""


_SHOWN: dict[str, View] = {
    "batches": batches,
    "reports": reports,
    "suppressions": suppressed,
    "storages": mounts,
    "dkim": keys,
    "audit": audit,
}
_DONE: dict[str, View] = {
    "suspend": suspend,
    "activate": activate,
    "suppressions": suppress,
    "suppressions/remove": unsuppress,
    "storages": mount,
    "storages/remove": unmount,
    "dkim": add_key,
    "dkim/check": check_key,
    "dkim/remove": remove_key,
}
PAGES = (
    *(Page("GET", f"/t/{{tenant}}/{name}", view) for name, view in _SHOWN.items()),
    *(Page("POST", f"/t/{{tenant}}/{name}", view) for name, view in _DONE.items()),
    Page("GET", "/audit", audit, for_admin=True),
)
