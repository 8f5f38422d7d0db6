"""Short way of ``add-messages``: from a connection to its commit, without a task."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from mail_proxy.api import errors
from mail_proxy.api.deps import Route
from mail_proxy.api.request_bounds import Bounds, Observe, admit, identify, note_answer
from mail_proxy.errors import MailProxyError
from mail_proxy.http.exchange import Exchange
from mail_proxy.operations import intake
from mail_proxy.proxy import MailProxy
from mail_proxy.telemetry.log import begin_request
from mail_proxy.wire.batches import parse_batch

_JSON = "application/json"


class ShortWay:
    """Answers small ``add-messages`` calls whose caller and messages are in order.

    Such a call passes the same checks as on its way through the application, in the same order.
    Nothing is logged, counted or written before all of them have passed. So a call that fails one,
    or that has to wait for anything but its commit, goes through the application, which makes the
    checks again and answers.
    """

    def __init__(
        self,
        route: Route,
        running: Callable[[], MailProxy | None],
        bounds: Callable[[], Bounds | None],
        observe: Observe,
    ) -> None:
        """Take the calls of ``route``; the other functions are those of ``RequestBounds``."""
        self._route = route
        self._target = route.path.encode()
        self._running = running
        self._bounds = bounds
        self._observe = observe

    def suits(self, exchange: Exchange) -> bool:
        """Return whether a request may be a usual one, by its head."""
        left = exchange.body_left
        return (
            exchange.target == self._target
            and exchange.method == "POST"
            and left is not None
            and 0 < left + len(exchange.body) <= intake.READ_AT_ONCE_BYTES
            and exchange.keep_alive
            and not exchange.expects_continue
        )

    def begin(self, exchange: Exchange, scope: Scope) -> asyncio.Future[Any] | None:
        """Store the messages of a whole request; return None to give up."""
        scope["route"] = self._route
        proxy, bounds = self._running(), self._bounds()
        if proxy is None or bounds is None:
            return None
        try:
            identify(scope)
            admit(scope, bounds)
            caller = self._route.admit_at_once(proxy, scope)
        except (HTTPException, MailProxyError):
            return None
        if caller is None:
            return None
        pending = None
        try:
            batch = parse_batch(exchange.body, proxy.queue.max_enqueue_batch)
            pending = proxy.door.begin(intake.add, caller, batch)
        except (MailProxyError, ValidationError):
            pass
        if pending is None and caller.tenant_id is not None:
            proxy.call_rates.give_back(caller.tenant_id)
        return pending

    def answer(self, exchange: Exchange, scope: Scope, done: asyncio.Future[Any]) -> bool:
        """Write the answer; False if the caller's key is not valid any more."""
        error = done.exception()
        stored = None if error is not None else done.result()
        if error is None and stored is None:
            return False
        try:
            response = _refused(error, scope) if error is not None else _accepted(stored)
        except MailProxyError as refusal:
            response = _refused(refusal, scope)
        headers = (*response.raw_headers, (b"x-request-id", scope["state"]["request_id"].encode()))
        exchange.begin_answer(response.status_code, headers)
        exchange.add_answer(bytes(response.body), more=False)
        note_answer(scope, "POST", response.status_code, exchange.begun_at, self._observe)
        return True


def _accepted(stored: Any) -> Response:
    return Response(intake.usable(stored).model_dump_json(), media_type=_JSON)


def _refused(error: BaseException, scope: Scope) -> Response:
    """Return the answer to an error, which is logged with the id of the request."""
    context = contextvars.copy_context()
    context.run(begin_request, scope["state"]["request_id"])
    return context.run(errors.answer_to, error)
