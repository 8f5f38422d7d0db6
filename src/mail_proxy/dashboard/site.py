"""Routes of the dashboard: log-in check, form check, and errors as pages."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from markupsafe import Markup
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mail_proxy.dashboard import views
from mail_proxy.dashboard.cookies import (
    FORM_COOKIE,
    ROOT,
    SESSION_COOKIE,
    cookie_of,
    set_cookie,
)
from mail_proxy.dashboard.forms import Form, read_form, reason_of
from mail_proxy.dashboard.page import Page
from mail_proxy.dashboard.parts import UiParts
from mail_proxy.dashboard.rendering import Pages
from mail_proxy.dashboard.visit import HEADERS, Visit
from mail_proxy.encryption import hash_token
from mail_proxy.errors import (
    Forbidden,
    MailProxyError,
    NotFound,
    RequestError,
    TooManyRequests,
    Unauthorized,
)
from mail_proxy.operations import tenants
from mail_proxy.operations.callers import Caller, Stranger
from mail_proxy.telemetry.log import Action, log
from mail_proxy.wire.mistakes import malformed, mistakes_of

_KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}
_UNIX_SOCKET = "local"
#: Returns the parts of the running service for a request.
PartsOf = Callable[[Request], UiParts]


@dataclass(frozen=True)
class _Seal:
    """Seal of this browser's forms, from its session or its form cookie."""

    cookie: str
    is_new: bool

    @property
    def text(self) -> str:
        """The text in the forms; the cookie cannot be computed from it."""
        return hash_token(f"form {self.cookie}")


def install(app: FastAPI, parts_of: PartsOf, reference: Callable[[], Awaitable[bytes]]) -> None:
    """Add the pages to the application; ``reference`` makes that of the API, as HTML."""

    async def show_reference(visit: Visit) -> Response:
        return await visit.show("reference.html", content=Markup((await reference()).decode()))  # noqa: S704

    site = _Site(parts_of)
    app.add_route(ROOT, site.root, include_in_schema=False)
    app.add_route(f"{ROOT}/static/{{version}}/{{name}}", site.static, include_in_schema=False)
    for page in (*views.PAGES, Page("GET", "/reference", show_reference)):
        path = f"{ROOT}{page.path}"
        app.router.routes.append(_PageRoute(path, site.endpoint(page), methods=[page.method]))
    app.router.routes.append(
        _PageRoute(f"{ROOT}/{{rest:path}}", site.endpoint(views.NOWHERE), methods=["GET", "POST"])
    )


class _PageRoute(Route):
    """A route that metrics and log lines name by its template."""

    def matches(self, scope: Any) -> Any:
        match, child = super().matches(scope)
        return match, {**child, "route": self} if child else child


class _Site:
    """Answers the requests for pages."""

    def __init__(self, parts_of: PartsOf) -> None:
        self._parts_of = parts_of
        self._pages = Pages()

    async def root(self, request: Request) -> Response:
        return RedirectResponse(request.scope.get("root_path", "") + f"{ROOT}/", 307, HEADERS)

    async def static(self, request: Request) -> Response:
        file = self._pages.static.get(request.path_params["name"])
        if file is None or not self._parts_of(request).config.ui.ui:
            raise NotFound("no such file")
        return Response(file.content, headers={**HEADERS, **_KEPT}, media_type=file.media_type)

    def endpoint(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            parts = self._parts_of(request)
            if not parts.config.ui.ui:
                raise NotFound("the dashboard is switched off (ui)")
            caller, seal = await self._who(request, parts)
            response = await self._answer(request, parts, page, caller, seal)
            if seal.is_new:
                set_cookie(response, request, FORM_COOKIE, seal.cookie)
            return response

        return answer

    async def _who(self, request: Request, parts: UiParts) -> tuple[Caller | None, _Seal]:
        """Return the caller if there is a session, and the seal of the forms."""
        address = request.client.host if request.client else _UNIX_SOCKET
        origin = (address, request.state.request_id)
        cookie = cookie_of(request, SESSION_COOKIE)
        if cookie is not None:
            caller = await parts.sessions.find(cookie)
            if caller is not None:
                request.scope["state"]["ui_session"] = cookie
                if caller.tenant_id is not None:
                    parts.rates.take(caller.tenant_id)
                return _at(caller, request, *origin), _Seal(cookie, is_new=False)
        known = cookie_of(request, FORM_COOKIE)
        seal = _Seal(known or secrets.token_urlsafe(32), is_new=known is None)
        if parts.authenticator.open and parts.is_local:
            return _at(Caller(None), request, *origin), seal
        return None, seal

    async def _answer(
        self, request: Request, parts: UiParts, page: Page, caller: Caller | None, seal: _Seal
    ) -> Response:
        origin = Stranger(None, "", request.client.host if request.client else _UNIX_SOCKET)
        known = caller or _at(origin, request, origin.address, request.state.request_id)
        request.state.caller = known
        visit = Visit(request, parts, self._pages, known, Form(), seal.text)
        if caller is None and not page.is_public:
            if page.method != "GET":
                return visit.go(visit.path("login"))
            back = request.url.path.removeprefix(visit.base)
            return visit.go(visit.path("login", back=back if back != "/" else None))
        try:
            await _check_reach(visit, page)
            if page.method == "POST":
                visit.form = await read_form(request)
                _check_form(request, visit.form, seal)
            return await page.view(visit)
        except (MailProxyError, ValidationError) as error:
            return await _error_page(visit, error)


def _at(caller: Caller, request: Request, address: str | None, request_id: str) -> Caller:
    route = getattr(request.scope.get("route"), "path_format", ROOT)
    return caller.at(f"{request.method} {route}", address, request_id)


async def _check_reach(visit: Visit, page: Page) -> None:
    """Raise Forbidden or NotFound for a page out of the caller's reach.

    Many pages are forms that ask for nothing before they are sent.
    """
    if "tenant" in visit.request.path_params:
        await visit.ask(tenants.get, None, visit.part("tenant"))
    if page.for_admin and not visit.caller.is_admin:
        error = Forbidden("this needs the admin token")
        await visit.parts.refusals.record(visit.caller, error, tenant_id=visit.caller.tenant_id)
        raise error


def _check_form(request: Request, form: Form, seal: _Seal) -> None:
    """Raise Forbidden for a form that does not come from a page of this browser."""
    origin = request.headers.get("Origin")
    is_foreign = request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")
    if origin is not None and origin.partition("://")[2] != request.headers.get("Host", ""):
        is_foreign = True
    if is_foreign or not secrets.compare_digest(form.text("seal").encode(), seal.text.encode()):
        raise _ForeignForm("this form is too old, or comes from another site: load the page again")


class _ForeignForm(RequestError):
    """A form without the seal of the browser's session."""

    http_status = 403
    code = "foreign_form"


async def _error_page(visit: Visit, error: MailProxyError | ValidationError) -> Response:
    if isinstance(error, ValidationError):
        error = malformed(*mistakes_of(error.errors(), None, lambda _: None))
    # A tenant's key learns nothing about what it does not reach, not even that it exists.
    if isinstance(error, Forbidden) or error.http_status == 404:
        return await visit.show("not_found.html", 404)
    if isinstance(error, Unauthorized):
        return visit.go(visit.path("login"))
    if not isinstance(error, RequestError) and error.http_status != 503:
        log(Action.REQUEST_FAILED, exception=error)
        return await visit.show("error.html", 500, reasons=[visit.gettext("Internal error.")])
    headers = {}
    reasons = reason_of(error) if isinstance(error, RequestError) else [_summary(error)]
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after_seconds)
    return await visit.show("error.html", error.http_status, headers, reasons=reasons)


def _summary(error: MailProxyError) -> str:
    return str(getattr(error, "summary", error.message))
