"""The way of ``add-messages``, past the web framework: its routing, its injection of parameters and
its models of answers cost several times what it costs to store a message.

The route is declared as any other, so that it is documented and checked as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mail_proxy.api import errors
from mail_proxy.api.deps import Route
from mail_proxy.errors import MailProxyError


class FastPath:
    """ASGI middleware, inside ``RequestBounds``. ``run`` answers the requests of one POST route."""

    def __init__(
        self, app: ASGIApp, route: Route, run: Callable[[Request], Awaitable[BaseModel]]
    ) -> None:
        self._app = app
        self._route = route
        self._run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and scope["path"] == scope.get("root_path", "") + self._route.path
        ):
            scope["route"] = self._route
            response = await self._answer(Request(scope, receive))
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            await self._route.admit(request)
            answer = await self._run(request)
        except MailProxyError as error:
            return await errors.known(request, error)
        except ValidationError as error:
            return await errors.malformed(request, error)
        return Response(answer.model_dump_json(), media_type="application/json")
