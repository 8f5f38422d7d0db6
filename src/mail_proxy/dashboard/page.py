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
    """Path below ``/ui`` with its view.

    A public one needs no log-in. Some are for the administrator alone.
    """

    method: Literal["GET", "POST"]
    path: str
    view: View
    is_public: bool = False
    for_admin: bool = False
