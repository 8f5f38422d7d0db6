"""Fast path for ``add-messages``, past FastAPI's dependency injection and response models.

They cost several times more than storing a message.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mail_proxy.api.deps import Route, get_call


class FastRoute(Route):
    """A route whose function is called directly, with the call and the request.

    It is declared as any other route, so that it is in the OpenAPI document with its parameters
    and answers.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticate the caller, call the function and send its answer."""
        request = Request(scope, receive)
        await self.admit(request)
        answer = await self.endpoint(await get_call(request), request)
        response = Response(answer.model_dump_json(), media_type="application/json")
        await response(scope, receive, send)
