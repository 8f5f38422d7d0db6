"""Log in with a token or a one-time link, and log out."""

from __future__ import annotations

import re

from starlette.responses import Response

from mail_proxy.dashboard.cookies import SESSION_COOKIE, cookie_of, forget, set_session
from mail_proxy.dashboard.page import Page
from mail_proxy.dashboard.visit import Visit
from mail_proxy.errors import InactiveTenant, NotFound, TooManyRequests, Unauthorized
from mail_proxy.operations.callers import Caller, Stranger

_LONGEST_TOKEN = 1000
#: A path of the dashboard; no other host can be named in it.
_BACK = re.compile(r"/(?!/)[\w.~%/@:+-]{0,500}", re.ASCII)


async def show(visit: Visit) -> Response:
    """Show the field for a token."""
    if not isinstance(visit.caller, Stranger):
        return visit.go(visit.path())
    return await visit.show("log_in.html", failed=False, reason="", back=visit.query("back"))


async def log_in(visit: Visit) -> Response:
    """Begin a session, or say why not. Failures count as those of the API."""
    token = visit.form.text("token")[:_LONGEST_TOKEN]
    back = visit.form.text("back")
    address = visit.caller.address or ""
    parts = visit.parts
    origin = (visit.caller.endpoint, visit.caller.address, visit.caller.request_id)
    try:
        if not token:
            raise Unauthorized("no token")
        caller = await parts.authenticator.authenticate(token, address, loopback=False)
    except (Unauthorized, InactiveTenant) as error:
        actor = Stranger(None, *origin)
        if isinstance(error, InactiveTenant):
            actor = Caller(error.tenant_id, *origin)  # type: ignore[assignment]
        await parts.refusals.record(actor, error)
        reason = visit.gettext("This token is not valid here.")
        if isinstance(error, InactiveTenant):
            reason = visit.gettext("This tenant is inactive. Ask the administrator.")
        return await visit.show("log_in.html", 401, failed=True, reason=reason, back=back)
    except TooManyRequests as error:
        reason = visit.gettext("Too many failed log-ins from this address. Wait a minute.")
        headers = {"Retry-After": str(error.retry_after_seconds)}
        return await visit.show("log_in.html", 429, headers, failed=True, reason=reason, back=back)
    secret = await parts.sessions.begin(caller.at(*origin), token)
    return _begun(visit, secret, back)


async def show_link(visit: Visit) -> Response:
    """Show a button that uses a one-time link; opening the page alone does not use it."""
    return await visit.show("open.html", code=visit.query("code", 100), failed=False)


async def use_link(visit: Visit) -> Response:
    """Begin a session with a one-time link."""
    caller = visit.caller
    origin = (caller.endpoint, caller.address, caller.request_id)
    code = visit.form.text("code")[:100]
    secret = await visit.parts.sessions.redeem(code, Caller(None, *origin)) if code else None
    if secret is None:
        error = Unauthorized("this link was used already, or is over five minutes old")
        await visit.parts.refusals.record(Stranger(None, *origin), error)
        return await visit.show("open.html", 401, code="", failed=True)
    return _begun(visit, secret, "")


async def log_out(visit: Visit) -> Response:
    """End the session."""
    cookie = cookie_of(visit.request, SESSION_COOKIE)
    if cookie is not None:
        await visit.parts.sessions.end(cookie, visit.caller)
    return forget(visit.go(visit.path("login", done="logged_out")), visit.request, SESSION_COOKIE)


async def nowhere(visit: Visit) -> Response:
    """Answer a path that is no page."""
    raise NotFound("no such page")


def _begun(visit: Visit, secret: str, back: str) -> Response:
    goal = visit.base + back if _BACK.fullmatch(back) else visit.path()
    return set_session(
        visit.go(goal), visit.request, secret, visit.parts.config.ui.ui_session_hours
    )


PAGES = (
    Page("GET", "/login", show, is_public=True),
    Page("POST", "/login", log_in, is_public=True),
    Page("GET", "/open", show_link, is_public=True),
    Page("POST", "/open", use_link, is_public=True),
    Page("POST", "/logout", log_out),
)
