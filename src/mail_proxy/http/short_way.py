"""Interface for answering a usual request without a task and without ASGI."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from starlette.types import Scope

from mail_proxy.http.exchange import Exchange


class ShortWay(Protocol):
    """The part of an application that answers usual requests itself.

    It gets whole requests. Whatever it does not answer goes through the application as any other
    request, so it may give up at any time before it has answered.
    """

    def suits(self, exchange: Exchange) -> bool:
        """Return whether a request may be a usual one, by its head."""
        ...

    def begin(self, exchange: Exchange, scope: Scope) -> asyncio.Future[Any] | None:
        """Begin with a whole request; return the future of its result, or None to give up."""
        ...

    def answer(self, exchange: Exchange, scope: Scope, done: asyncio.Future[Any]) -> bool:
        """Write the answer for a result that is not cancelled; False to give up."""
        ...
