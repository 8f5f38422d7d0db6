"""Public pages: the start page, the OpenAPI document, the reference and its style."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson
from fastapi import FastAPI, Request, Response
from starlette.responses import JSONResponse, RedirectResponse

from mail_proxy.api import reference_page
from mail_proxy.api.deps import ui_parts
from mail_proxy.dashboard import cookies, site
from mail_proxy.wire.service import program_version

DOCUMENT = "/openapi.json"
#: Both names lead to the same page, as programs know them.
REFERENCES = ("/docs", "/redoc")
PATHS = ("/", DOCUMENT, *REFERENCES, reference_page.STYLE_PATH)


class _Once:
    """A text that is made once, on a thread.

    Making it takes a second of processor time, and callers need no token.
    """

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._text = b""

    async def text(self) -> bytes:
        async with self._making:
            self._text = self._text or await asyncio.to_thread(self._make)
        return self._text


def install(app: FastAPI) -> None:
    """Add the pages to the app, whose OpenAPI document is complete, and the dashboard."""
    document = _Once(lambda: orjson.dumps(app.openapi()))

    def render() -> bytes:
        # Links are relative, so that the page works under any prefix.
        return reference_page.page(app.openapi()).encode()

    reference = _Once(render)

    # Its links lead up, out of the dashboard.
    inside = _Once(lambda: reference_page.content(app.openapi(), f"..{DOCUMENT}").encode())

    async def openapi(request: Request) -> Response:
        return Response(await document.text(), media_type="application/json")

    async def docs(request: Request) -> Response:
        text = await reference.text()
        return Response(text, headers=reference_page.HEADERS, media_type="text/html")

    async def style(request: Request) -> Response:
        headers = reference_page.HEADERS
        return Response(reference_page.STYLE, headers=headers, media_type="text/css")

    async def start(request: Request) -> Response:
        docs_path = request.scope.get("root_path", "") + REFERENCES[0]
        if "text/html" in request.headers.get("Accept", ""):
            ui = ui_parts(request).config.ui.ui
            path = request.scope.get("root_path", "") + f"{cookies.ROOT}/" if ui else docs_path
            return RedirectResponse(path, 303, {"Vary": "Accept"})
        about = {"name": "genro-mail-proxy", "version": program_version(), "docs": docs_path}
        return JSONResponse({"ok": True, **about}, headers={"Vary": "Accept"})

    app.add_route("/", start, include_in_schema=False)
    app.add_route(DOCUMENT, openapi, include_in_schema=False)
    for path in REFERENCES:
        app.add_route(path, docs, include_in_schema=False)
    app.add_route(reference_page.STYLE_PATH, style, include_in_schema=False)
    site.install(app, ui_parts, inside.text)
