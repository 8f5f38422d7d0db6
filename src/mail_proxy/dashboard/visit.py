"""One request to the dashboard: its caller, its form, and the answer to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlencode

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from mail_proxy.dashboard.forms import Form
from mail_proxy.dashboard.parts import UiParts
from mail_proxy.dashboard.rendering import Pages
from mail_proxy.errors import NotFound
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.operation import Answer, Operation
from mail_proxy.operations.operation import Request as Asked

#: No page needs anything of another host, nor inline scripts and styles.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Language, Cookie",
}


class Visit:
    """One request to the dashboard, of a caller who is logged in.

    ``base`` is the path of the dashboard, with the prefix of a reverse proxy. ``seal`` goes into
    every form.
    """

    def __init__(
        self,
        request: Request,
        parts: UiParts,
        pages: Pages,
        caller: Caller,
        form: Form,
        seal: str,
    ) -> None:
        self.request = request
        self.parts = parts
        self.caller = caller
        self.form = form
        self.base = request.scope.get("root_path", "") + "/ui"
        self._pages = pages
        self._seal = seal
        self._language = pages.language(request.headers.get("Accept-Language", ""))

    async def ask(
        self, operation: Operation[Asked, Answer], request: Asked, tenant_id: str | None = None
    ) -> Answer:
        """Run an operation for the caller, as the API does."""
        return await self.parts.door.call(operation, self.caller, request, tenant_id)

    def part(self, name: str) -> str:
        """Return a decoded part of the path; NotFound for one that no name can have."""
        try:
            text = unquote_to_bytes(self.request.path_params[name]).decode()
        except UnicodeDecodeError:
            raise NotFound("no such page") from None
        if not text or len(text) > 255 or not text.isprintable():
            raise NotFound("no such page")
        return text

    @property
    def tenant_id(self) -> str | None:
        """The tenant in the path, or the one of the caller's key; None for the instance."""
        if "tenant" in self.request.path_params:
            return self.part("tenant")
        return self.caller.tenant_id

    def query(self, name: str, most: int = 1000) -> str:
        """Return a text of the query, empty if it is not there."""
        return self.request.query_params.get(name, "")[:most]

    def gettext(self, text: str) -> str:
        """Return a text in the visitor's language."""
        return self._pages.texts(self._language).gettext(text)

    def path(self, *segments: str, **query: Any) -> str:
        """Return a path of the dashboard; empty values of the query are left out."""
        asked = urlencode([(k, v) for k, v in query.items() if v not in (None, "")], doseq=True)
        joined = "/".join(quote(segment, safe="") for segment in segments)
        return f"{self.base}/{joined}" + (f"?{asked}" if asked else "")

    def tenant_path(self, *segments: str, **query: Any) -> str:
        """Return a path of the tenant that this page is about."""
        assert self.tenant_id is not None
        return self.path("t", self.tenant_id, *segments, **query)

    def go(self, path: str) -> Response:
        """Send the browser to another page, so that a reload does not repeat the action."""
        return RedirectResponse(path, 303, HEADERS)

    async def show(
        self,
        template: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        /,
        **data: Any,
    ) -> Response:
        """Render a page on a thread."""
        given = {
            "visit": self,
            "base": self.base,
            "seal": self._seal,
            "lang": self._language,
            "is_admin": self.caller.is_admin,
            "logged_in": bool(self.request.scope["state"].get("ui_session")),
            "instance": self.parts.config.name,
            "tenant_id": self.caller.tenant_id,
            "here": self.request.url.path,
            "done": self.query("done", 40),
            "count": self.query("n", 20),
            **data,
        }
        text = await asyncio.to_thread(self._pages.render, self._language, template, given)
        return Response(text, status, {**HEADERS, **(headers or {})}, media_type="text/html")
