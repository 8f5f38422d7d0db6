"""Publish facts to the subscribers of one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Fact = TypeVar("Fact")


class Bus:
    """Delivers each published fact to the handlers that subscribed to its class.

    Handlers run in the caller, in the order of subscription, and must neither block nor raise.
    Publish facts about rows after the commit that wrote them, never before.
    """

    def __init__(self) -> None:
        self._handlers: dict[type[Any], list[Callable[[Any], None]]] = {}

    def subscribe(self, kind: type[Fact], handler: Callable[[Fact], None]) -> None:
        """Have ``handler`` called with every fact of exactly this class."""
        self._handlers.setdefault(kind, []).append(handler)

    def publish(self, fact: object) -> None:
        """Call every handler that subscribed to the class of ``fact``."""
        for handler in self._handlers.get(type(fact), ()):
            handler(fact)
