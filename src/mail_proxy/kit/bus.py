"""Event bus: publish facts to subscribers in this and in other processes."""

from __future__ import annotations

from collections.abc import Callable
from enum import Flag, auto
from typing import Any, ClassVar, Protocol, TypeVar

import orjson

FactT = TypeVar("FactT", bound="Fact")


class Reach(Flag):
    """Set of processes, other than the publishing one, that get a fact."""

    #: The delivering processes of this instance.
    WORKERS = auto()
    #: The process with the API that started this delivering process.
    PARENT = auto()
    #: The instances on other hosts that share the database.
    HOSTS = auto()


class Fact:
    """Base class of all facts: frozen dataclasses, identified by their class names.

    ``reach`` names the other processes that get the fact. The fields of a fact that travels are
    values of JSON.
    """

    __slots__ = ()
    reach: ClassVar[Reach] = Reach(0)
    _kinds: ClassVar[dict[str, type[Fact]]] = {}

    def __init_subclass__(cls) -> None:
        Fact._kinds[cls.__name__] = cls

    def abroad(self) -> Fact:
        """Return the fact that other processes get in place of this one."""
        return self

    def dump(self) -> str:
        """Return the fact as one line of text, the same for all transports."""
        return f"{type(self).__name__} {orjson.dumps(self).decode()}"

    @staticmethod
    def load(text: str) -> Fact | None:
        """Return the fact of a dumped line; None if this version does not know it."""
        name, _, fields = text.partition(" ")
        kind = Fact._kinds.get(name)
        if kind is None:
            return None
        try:
            return kind(**orjson.loads(fields))
        except (TypeError, ValueError):
            return None


class Transport(Protocol):
    """Way for facts to other processes: the pipe of a worker, or NOTIFY."""

    @property
    def reach(self) -> Reach:
        """The processes at the other end."""

    def send(self, line: str) -> None:
        """Send a dumped fact soon, without blocking the caller."""


class Bus:
    """Event bus between the publishers of facts and the handlers of their classes.

    Handlers run in the caller, in the order of subscription, and must neither block nor raise.
    Publish facts about rows after the commit that wrote them, never before.
    """

    def __init__(self) -> None:
        self._handlers: dict[type[Fact], list[Callable[[Any], None]]] = {}
        self._transports: list[Transport] = []

    def subscribe(self, kind: type[FactT], handler: Callable[[FactT], None]) -> None:
        """Call ``handler`` with every fact of exactly this class from now on."""
        self._handlers.setdefault(kind, []).append(handler)

    def connect(self, transport: Transport) -> None:
        """Send every fact whose reach includes that of ``transport`` over it from now on."""
        self._transports.append(transport)

    def publish(self, fact: Fact, source: Transport | None = None) -> None:
        """Call the handlers of the fact's class, then send it to other processes.

        ``source`` is the transport that the fact came in by; it does not go out there again.
        """
        for handler in self._handlers.get(type(fact), ()):
            handler(fact)
        for transport in self._transports:
            if transport is not source and fact.reach & transport.reach:
                transport.send(fact.abroad().dump())
