"""Settings of a tenant, its key, a mail to yourself, and code to begin with."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from mail_proxy.dashboard.forms import reason_of
from mail_proxy.dashboard.page import Page
from mail_proxy.dashboard.visit import Visit
from mail_proxy.errors import RequestError
from mail_proxy.features.ui_sessions import operations as ui_sessions
from mail_proxy.kit.ids import uuid7
from mail_proxy.operations import accounts, intake, tenants
from mail_proxy.wire.accounts import AccountOut
from mail_proxy.wire.batches import parse_batch
from mail_proxy.wire.mistakes import malformed, mistakes_of
from mail_proxy.wire.secrets import MASK
from mail_proxy.wire.tenants import NewApiKey, TenantFields, TenantRef

_TEXTS = ("name", "client_base_url")
_PATHS = ("client_sync_path", "client_attachment_path")


async def show(visit: Visit) -> Response:
    """Show the settings of the tenant."""
    return await _settings(visit)


async def save(visit: Visit) -> Response:
    """Change the settings of the tenant."""
    try:
        request = TenantFields(**_fields(visit))
        await visit.ask(tenants.update, request, visit.tenant_id)
    except ValidationError as error:
        refused: RequestError = malformed(*mistakes_of(error.errors(), None, lambda _: None))
    except RequestError as error:
        if error.http_status not in (400, 409, 422):
            raise
        refused = error
    else:
        return visit.go(visit.tenant_path("settings", done="saved"))
    return await _settings(visit, 422, reasons=reason_of(refused))


def _fields(visit: Visit) -> dict[str, Any]:
    form = visit.form
    fields: dict[str, Any] = {name: form.text(name) or None for name in _TEXTS}
    fields.update(form.given(*_PATHS))
    fields["client_auth"] = _auth(visit)
    secret = form.secret("signing_secret").strip()
    if secret != MASK:
        fields["signing_secret"] = secret or None
    if visit.caller.is_admin:
        fields["active"] = form.is_set("active")
        limits = {"hourly": form.number("hourly"), "daily": form.number("daily")}
        fields["rate_limits"] = limits if any(limits.values()) else None
    return fields


def _auth(visit: Visit) -> dict[str, Any]:
    """Return the ``client_auth`` of the form; an empty secret keeps the stored one."""
    form, method = visit.form, visit.form.text("method")
    if method == "bearer":
        return {"method": method, "token": form.secret("auth_secret") or MASK}
    if method == "basic":
        user = form.text("auth_user")
        return {"method": method, "user": user, "password": form.secret("auth_secret") or MASK}
    return {"method": "none"}


async def make_key(visit: Visit) -> Response:
    """Make a new key, after the visitor was told that the old one stops working."""
    if not visit.form.is_set("sure"):
        return await visit.show("confirm_key.html", tenant_id=visit.tenant_id)
    assert visit.tenant_id is not None
    request = NewApiKey(id=visit.tenant_id)
    key = (await visit.ask(tenants.make_key, request)).api_key
    return await visit.show("key.html", tenant_id=visit.tenant_id, key=key)


async def delete(visit: Visit) -> Response:
    """Remove the tenant with all its data; its name has to be typed."""
    if visit.form.text("name") != visit.tenant_id:
        return await visit.show("confirm_tenant.html", tenant_id=visit.tenant_id)
    await visit.ask(tenants.delete, TenantRef(id=visit.tenant_id))
    return visit.go(visit.path("tenants", done="deleted"))


async def end_sessions(visit: Visit) -> Response:
    """End all sessions of the dashboard of this tenant."""
    ended = (await visit.ask(ui_sessions.end_all, None, visit.tenant_id)).ended
    return visit.go(visit.tenant_path("settings", done="ended", n=ended))


async def new_mail(visit: Visit) -> Response:
    """Show the form of a mail."""
    return await _mail(visit, await _owned(visit), [])


async def send(visit: Visit) -> Response:
    """Queue the mail, and show it."""
    form = visit.form
    record = {"id": f"test-{uuid7()}", **form.given("from", "to", "subject", "account_id")}
    record["body"] = form.text("body")
    batch = parse_batch({"messages": [record]}, 1)
    try:
        answer = await visit.ask(intake.add, batch, visit.tenant_id)
    except RequestError as error:
        if error.http_status not in (400, 409, 422, 429):
            raise
        reasons = reason_of(error)
        if isinstance(error.detail, dict):
            reasons = [str(r.get("reason")) for r in error.detail.get("rejected", ())] or reasons
        return await _mail(visit, await _owned(visit), reasons)
    if answer.rejected:
        reasons = [rejected.reason for rejected in answer.rejected]
        return await _mail(visit, await _owned(visit), reasons)
    return visit.go(visit.tenant_path("m", record["id"], done="queued"))


async def start(visit: Visit) -> Response:
    """Show code to begin with."""
    root = visit.base.removesuffix("/ui")
    place = f"{visit.request.url.scheme}://{visit.request.url.netloc}{root}"
    return await visit.show("start.html", tenant_id=visit.tenant_id, place=place)


async def _owned(visit: Visit) -> list[AccountOut]:
    return (await visit.ask(accounts.list_accounts, None, visit.tenant_id)).accounts[:500]


async def _mail(visit: Visit, owned: list[AccountOut], reasons: list[str]) -> Response:
    names = ("from", "to", "subject", "body", "account_id")
    typed = {name: visit.form.text(name) for name in names}
    users = [a.user for a in owned if a.user and "@" in a.user]
    typed["from"] = typed["from"] or (users[0] if users else "") or ""
    data = {"accounts": owned, "typed": typed, "reasons": reasons}
    status = 422 if reasons else 200
    return await visit.show("send.html", status, tenant_id=visit.tenant_id, **data)


async def _settings(visit: Visit, status: int = 200, **data: Any) -> Response:
    tenant = (await visit.ask(tenants.get, None, visit.tenant_id)).tenant
    given: dict[str, Any] = {"reasons": [], **data}
    return await visit.show("settings.html", status, tenant_id=tenant.id, tenant=tenant, **given)


PAGES = (
    Page("GET", "/t/{tenant}/settings", show),
    Page("POST", "/t/{tenant}/settings", save),
    Page("POST", "/t/{tenant}/key", make_key, for_admin=True),
    Page("POST", "/t/{tenant}/delete", delete, for_admin=True),
    Page("POST", "/t/{tenant}/sessions/end", end_sessions),
    Page("GET", "/t/{tenant}/send", new_mail),
    Page("POST", "/t/{tenant}/send", send),
    Page("GET", "/t/{tenant}/start", start),
)
