"""An operation: one thing that a caller can ask for, as a value."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import NoneType
from typing import Any, Generic, Protocol, TypeVar, get_type_hints, overload

from mail_proxy.config import ProxyConfig, QueueConfig
from mail_proxy.kit.bus import Fact
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.parts import Parts
from mail_proxy.sql import Connection
from mail_proxy.sql.tables import Tables
from mail_proxy.wire.secrets import redacted

Request = TypeVar("Request")
Answer = TypeVar("Answer")
Order = TypeVar("Order", contravariant=True)
BatchRequest = TypeVar("BatchRequest", contravariant=True)
BatchAnswer = TypeVar("BatchAnswer")


class Scope(StrEnum):
    """Range of data that an operation reaches."""

    TENANT = "tenant"
    #: One tenant or, for the administrator who names none, the whole instance.
    TENANT_OR_ALL = "tenant or all"
    ADMIN = "admin"


@dataclass
class Context:
    """The transaction that an operation runs in, and its caller.

    Every query must name ``tenant_id``. It is empty when the call is about the whole instance; an
    administrator's operation on one tenant names it in ``about``, for the audit log. ``queue``
    holds the settings that may change at run time.
    """

    connection: Connection
    tables: Tables
    caller: Caller
    tenant_id: str
    now: float
    config: ProxyConfig
    queue: QueueConfig
    operations: Mapping[str, Operation[Any, Any]]
    about: str | None = None
    facts: list[Fact] = field(default_factory=list)

    def publish(self, *facts: Fact) -> None:
        """Publish facts on the bus once the transaction is committed."""
        self.facts += facts


class Batch(Protocol[BatchRequest, BatchAnswer]):
    """A transport that runs many calls of one operation in one transaction.

    It checks each call's scope, writes each call's audit row and publishes the facts itself.
    """

    async def call(self, caller: Caller, request: BatchRequest) -> BatchAnswer:
        """Return the answer once the call is committed."""

    def begin(
        self, caller: Caller, request: BatchRequest
    ) -> asyncio.Future[BatchAnswer | None] | None:
        """Begin a call that waits for its commit only; return None for any other.

        The future's result is None if the caller's key is not valid any more.
        """

    async def drained(self) -> None:
        """Wait until every call that has begun is answered."""


@dataclass(frozen=True)
class Operation(Generic[Request, Answer]):
    """Operation that a caller can ask for, with its scope, request and answer.

    ``before`` completes the request of a tenant before the transaction, with work that takes long.
    ``run`` works inside the transaction and cannot await; without ``then`` it returns the answer.
    ``then`` goes on after the commit with what ``run`` returned: it may take many transactions,
    and call other hosts. ``batch`` replaces both. ``replayable`` operations are run again from an
    exported audit log. ``command`` is the name in ``handle_command``, and ``tenant_field`` the
    payload's field that names the tenant there. ``read`` makes the request from such a payload;
    without it, ``request`` validates it. ``shown`` is what the audit log keeps of a request.
    """

    name: str
    scope: Scope
    request: type[Any]
    answer: type[Any]
    run: Callable[[Context, Request], Any] | None = None
    then: Callable[[Parts, Any], Awaitable[Answer]] | None = None
    before: Callable[[Parts, str, Request], Awaitable[Request]] | None = None
    batch: Callable[[Parts], Batch[Request, Answer]] | None = None
    mutates: bool = False
    replayable: bool = False
    command: str | None = None
    tenant_field: str = "tenant_id"
    read: Callable[[dict[str, Any], QueueConfig], Request] | None = None
    shown: Callable[[Request], Any] = redacted

    @property
    def takes_nothing(self) -> bool:
        """True if the request is None."""
        return self.request is NoneType


class _Decorator(Protocol):
    def __call__(self, run: Callable[[Context, Request], Answer]) -> Operation[Request, Answer]:
        """Make an operation of a function that returns its answer."""


class _OrderDecorator(Protocol[Order, Answer]):
    def __call__(self, run: Callable[[Context, Request], Order]) -> Operation[Request, Answer]:
        """Make an operation of a function that returns the order for ``then``."""


@overload
def operation(
    name: str,
    *,
    scope: Scope = ...,
    mutates: bool = ...,
    replayable: bool = ...,
    command: str | None = ...,
    tenant_field: str = ...,
    before: Callable[[Parts, str, Any], Awaitable[Any]] | None = ...,
) -> _Decorator: ...


@overload
def operation(
    name: str,
    *,
    scope: Scope = ...,
    mutates: bool = ...,
    replayable: bool = ...,
    command: str | None = ...,
    tenant_field: str = ...,
    then: Callable[[Parts, Order], Awaitable[Answer]],
) -> _OrderDecorator[Order, Answer]: ...


def operation(name: str, *, scope: Scope = Scope.TENANT, then: Any = None, **options: Any) -> Any:
    """Make an operation of a function that runs inside a transaction.

    The types of request and answer are those of the annotations. An operation that ``mutates``
    runs on the writing side and leaves an audit row in the same transaction.
    """

    def decorate(run: Callable[[Context, Any], Any]) -> Operation[Any, Any]:
        request = get_type_hints(run)["request"]
        answer = get_type_hints(then or run)["return"]
        return Operation(name, scope, request, answer, run, then, **options)

    return decorate
