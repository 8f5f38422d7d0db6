"""Routes of the page on which a recipient unsubscribes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from mail_proxy.api.deps import Route, Unsubscribes
from mail_proxy.features.unsubscribe import page
from mail_proxy.operations.unsubscribe_links import LONGEST_TOKEN


class PageRoute(Route):
    """Route for browsers and mail providers: query and body do not matter."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return APIRoute.get_route_handler(self)


router = APIRouter(tags=["unsubscribe"], route_class=PageRoute)
Token = Annotated[
    str,
    Path(description="Token of the link.", max_length=LONGEST_TOKEN, examples=["AaIf2sdMcc6MJl"]),
]
Languages = Annotated[
    str, Header(alias="Accept-Language", description="en or it.", examples=["it, en"])
]
_RESPONSES: dict[int | str, dict[str, object]] = {
    200: {"content": {"text/html": {}}, "description": "A page in HTML."},
    404: {"content": {"text/html": {}}, "description": "The token is not valid: a page in HTML."},
}


@router.get("/u/{token}", response_class=HTMLResponse, responses=_RESPONSES)
async def show(unsubscribes: Unsubscribes, token: Token, languages: Languages = "") -> HTMLResponse:
    """Return a page with one button, which sends the POST. Looking changes nothing."""
    if await unsubscribes.find(token) is None:
        return HTMLResponse(page.unknown(languages), 404, page.HEADERS)
    return HTMLResponse(page.ask(languages), headers=page.HEADERS)


@router.post("/u/{token}", response_class=HTMLResponse, responses=_RESPONSES)
async def unsubscribe(
    unsubscribes: Unsubscribes, token: Token, languages: Languages = ""
) -> HTMLResponse:
    """Unsubscribe the recipient (RFC 8058): one click, without log-in, cookie or body.

    The address is on the suppression list then, and the message has the event `unsubscribe`.
    """
    found = await unsubscribes.find(token)
    if found is None:
        return HTMLResponse(page.unknown(languages), 404, page.HEADERS)
    await unsubscribes.unsubscribe(found)
    return HTMLResponse(page.done(languages), headers=page.HEADERS)
