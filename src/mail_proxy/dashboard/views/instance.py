"""Tenants and settings of the instance, for the administrator."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from mail_proxy.dashboard.forms import reason_of
from mail_proxy.dashboard.page import Page
from mail_proxy.dashboard.visit import Visit
from mail_proxy.errors import RequestError
from mail_proxy.features.alerts import operations as alerts
from mail_proxy.features.bounces import operations as bounces
from mail_proxy.features.ui_sessions import operations as ui_sessions
from mail_proxy.operations import instance, service, tenants
from mail_proxy.wire.instance import InstanceIn, RuntimeSettings
from mail_proxy.wire.mistakes import malformed, mistakes_of
from mail_proxy.wire.service import StatusQuery
from mail_proxy.wire.tenants import TenantFilter, TenantIn

_MOST_SHOWN = 500


async def all_tenants(visit: Visit) -> Response:
    """Show the tenants."""
    return await _tenants(visit)


async def add_tenant(visit: Visit) -> Response:
    """Create a tenant, and show its key once."""
    try:
        request = TenantIn(**visit.form.given("id", "name", "client_base_url"))
        known = {t.id for t in (await visit.ask(tenants.list_tenants, TenantFilter())).tenants}
        if request.id in known:
            return await _tenants(visit, 409, reasons=[visit.gettext("This tenant is there.")])
        saved = await visit.ask(tenants.save, request)
    except ValidationError as error:
        refused: RequestError = malformed(*mistakes_of(error.errors(), None, lambda _: None))
    except RequestError as error:
        if error.http_status not in (400, 409, 422):
            raise
        refused = error
    else:
        return await visit.show("key.html", tenant_id=saved.tenant.id, key=saved.api_key)
    return await _tenants(visit, 422, reasons=reason_of(refused))


async def setup(visit: Visit) -> Response:
    """Show the instance: version, processes, settings at run time, bounce mailbox."""
    return await _setup(visit)


async def save(visit: Visit) -> Response:
    """Change the name, and the settings that may change at run time."""
    form = visit.form
    given: dict[str, Any] = {}
    for name in RuntimeSettings.model_fields:
        text = form.text(name)
        given[name] = text or None
    try:
        settings = RuntimeSettings(**{k: _number(v) for k, v in given.items()})
        request = InstanceIn(name=form.text("name") or None, settings=settings)
        await visit.ask(instance.update, request)
    except ValidationError as error:
        refused: RequestError = malformed(*mistakes_of(error.errors(), None, lambda _: None))
        return await _setup(visit, 422, reasons=reason_of(refused))
    return visit.go(visit.path("setup", done="saved"))


async def test_alert(visit: Visit) -> Response:
    """Send a test alert on every channel, and show which took it."""
    try:
        result = await visit.ask(alerts.test, None)
    except RequestError as error:
        if error.http_status != 409:
            raise
        return await _setup(visit, 409, reasons=reason_of(error))
    return await _setup(visit, alert=result)


async def end_sessions(visit: Visit) -> Response:
    """End all sessions of everybody, this one too."""
    ended = (await visit.ask(ui_sessions.end_all, None)).ended
    return visit.go(visit.path("login", done="ended", n=ended))


def _number(text: Any) -> Any:
    """Return the number in a field, or its text, which the check then refuses."""
    try:
        return float(text) if "." in text else int(text)
    except (TypeError, ValueError):
        return text


async def _tenants(visit: Visit, status: int = 200, **data: Any) -> Response:
    found = (await visit.ask(tenants.list_tenants, TenantFilter())).tenants
    states = {s.id: s for s in (await visit.ask(tenants.sync_status, None)).tenants}
    wanted = visit.query("q", 255).casefold()
    shown = [t for t in found if wanted in f"{t.id} {t.name or ''}".casefold()]
    given: dict[str, Any] = {"reasons": [], **data}
    return await visit.show(
        "tenants.html",
        status,
        tenant_id=None,
        tenants=shown[:_MOST_SHOWN],
        more=len(shown) - _MOST_SHOWN,
        states=states,
        wanted=visit.query("q", 255),
        total=len(found),
        **given,
    )


async def _setup(visit: Visit, code: int = 200, **data: Any) -> Response:
    given: dict[str, Any] = {"reasons": [], "alert": None, **data}
    return await visit.show(
        "setup.html",
        code,
        tenant_id=None,
        found=(await visit.ask(instance.get, None)).instance,
        status=await visit.ask(service.status, StatusQuery(full=True)),
        bounce=(await visit.ask(bounces.get, None)).bounce,
        fields=RuntimeSettings.model_fields,
        **given,
    )


PAGES = (
    Page("GET", "/tenants", all_tenants, for_admin=True),
    Page("POST", "/tenants", add_tenant, for_admin=True),
    Page("GET", "/setup", setup, for_admin=True),
    Page("POST", "/setup", save, for_admin=True),
    Page("POST", "/setup/alert", test_alert, for_admin=True),
    Page("POST", "/setup/sessions/end", end_sessions, for_admin=True),
)
