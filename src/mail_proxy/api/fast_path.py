"""Fast path for ``add-messages``, without FastAPI.

It bypasses routing, dependency injection and response models, which cost several times more
than storing a message.
"""

from __future__ import annotations

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mail_proxy.api import errors
from mail_proxy.api.deps import Route, get_call
from mail_proxy.errors import MailProxyError


class FastPath:
    """ASGI middleware, inside ``RequestBounds``, that answers one POST route.

    It calls the route's own function, with the call and the request. The route stays declared as
    any other, for the OpenAPI document and for other methods.
    """

    def __init__(self, app: ASGIApp, route: Route) -> None:
        self._app = app
        self._route = route

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
            answer = await self._route.endpoint(await get_call(request), request)
        except MailProxyError as error:
            return await errors.known(request, error)
        except ValidationError as error:
            return await errors.invalid(request, error)
        return Response(answer.model_dump_json(), media_type="application/json")
