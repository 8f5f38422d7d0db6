"""A page of the dashboard: its path, its method and the view that answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from starlette.responses import Response

from mail_proxy.dashboard.visit import Visit

View = Callable[[Visit], Awaitable[Response]]


@dataclass(frozen=True)
class Page:
    """A path below ``/ui``; a public one needs no log-in, and some are the administrator's."""

    method: Literal["GET", "POST"]
    path: str
    view: View
    is_public: bool = False
    for_admin: bool = False
