"""Descriptions of calls, each written once for both clients.

A group of calls is a class, and ``call`` makes an attribute of each of its methods. The method
turns its arguments into ``Given``. Read from a group of the blocking client, the attribute is a
function that returns the answer; from the asynchronous client, a coroutine function.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload
from urllib.parse import quote

P = ParamSpec("P")
Answer = TypeVar("Answer")
Wire = TypeVar("Wire")
Item = TypeVar("Item")
Mode = TypeVar("Mode")
#: A time in a request: Unix seconds, ISO 8601 with a zone, or a datetime with a zone.
When = float | str | datetime


class Blocking:
    """Mode of groups whose calls return their answers."""


class Asynchronous:
    """Mode of groups whose calls are coroutine functions."""


@dataclass(frozen=True)
class Given:
    """Arguments of one call, by the part of the request that they belong to.

    Values that are None are left out of the query. ``body`` is JSON, or bytes as they are.
    """

    path: Mapping[str, str | int] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    tenant_id: str | None = None


@dataclass(frozen=True)
class Request(Generic[Answer]):
    """One HTTP request, and how its answer is read."""

    method: str
    path: str
    query: Mapping[str, Any]
    body: Any
    read: Callable[[bytes], Answer]
    repeatable: bool

    @property
    def name(self) -> str:
        """Method and path, for texts of errors."""
        return f"{self.method} {self.path}"


class Connection(Protocol):
    """Connection of either mode; its methods return answers or coroutines."""

    tenant_id: str | None

    def send(self, request: Request[Any]) -> Any: ...

    def pages(self, request: Request[Any], items: Callable[[Any], Any]) -> Any: ...

    def lines(self, request: Request[Any]) -> Any: ...


class Group(Generic[Mode]):
    """Calls about one noun."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def connection(self) -> Connection:
        return self._connection


class Route(Generic[P, Answer]):
    """Method, path and arguments of a call; the attribute of a group."""

    def __init__(
        self,
        method: str,
        path: str,
        read: Callable[[bytes], Answer],
        build: Callable[Concatenate[Any, P], Given],
        *,
        names_tenant: bool,
        repeatable: bool,
    ) -> None:
        self.method = method
        self.path = path
        self._read = read
        self.build = build
        self._names_tenant = names_tenant
        self._repeatable = repeatable
        self.__doc__ = build.__doc__

    def request(self, group: Group[Any], *args: P.args, **kwargs: P.kwargs) -> Request[Answer]:
        """Return the request of a call with these arguments."""
        given = self.build(group, *args, **kwargs)
        query = {k: _text(v) for k, v in given.query.items() if v is not None}
        tenant_id = given.tenant_id or group.connection.tenant_id
        if self._names_tenant and tenant_id is not None:
            query["tenant_id"] = tenant_id
        path = self.path
        for name, value in given.path.items():
            path = path.replace(f"{{{name}}}", _segment(str(value)))
        return Request(self.method, path, query, given.body, self._read, self._repeatable)


class Call(Route[P, Answer]):
    """A call that is answered as a whole."""

    @overload
    def __get__(self, group: None, owner: type) -> Call[P, Answer]: ...
    @overload
    def __get__(self, group: Group[Blocking], owner: type) -> Callable[P, Answer]: ...
    @overload
    def __get__(
        self, group: Group[Asynchronous], owner: type
    ) -> Callable[P, Coroutine[Any, Any, Answer]]: ...
    def __get__(self, group: Group[Any] | None, owner: type) -> Any:
        if group is None:
            return self

        def send(*args: P.args, **kwargs: P.kwargs) -> Any:
            return group.connection.send(self.request(group, *args, **kwargs))

        return update_wrapper(send, self.build)

    def pages(self, items: Callable[[Answer], Sequence[Item]]) -> Pages[P, Item]:
        """Return the call that goes through all pages of this listing, item by item."""
        return Pages(self, items)


class Pages(Generic[P, Item]):
    """A listing as an iterator that asks for the next page when it needs it."""

    def __init__(self, listing: Call[P, Any], items: Callable[[Any], Sequence[Item]]) -> None:
        self._listing = listing
        self._items = items
        self.__doc__ = listing.__doc__

    @overload
    def __get__(self, group: None, owner: type) -> Pages[P, Item]: ...
    @overload
    def __get__(self, group: Group[Blocking], owner: type) -> Callable[P, Iterator[Item]]: ...
    @overload
    def __get__(
        self, group: Group[Asynchronous], owner: type
    ) -> Callable[P, AsyncIterator[Item]]: ...
    def __get__(self, group: Group[Any] | None, owner: type) -> Any:
        if group is None:
            return self

        def pages(*args: P.args, **kwargs: P.kwargs) -> Any:
            request = self._listing.request(group, *args, **kwargs)
            return group.connection.pages(request, self._items)

        return update_wrapper(pages, self._listing.build)


class Lines(Route[P, Item]):
    """A call whose answer is read line by line, as JSON lines."""

    @overload
    def __get__(self, group: None, owner: type) -> Lines[P, Item]: ...
    @overload
    def __get__(self, group: Group[Blocking], owner: type) -> Callable[P, Iterator[Item]]: ...
    @overload
    def __get__(
        self, group: Group[Asynchronous], owner: type
    ) -> Callable[P, AsyncIterator[Item]]: ...
    def __get__(self, group: Group[Any] | None, owner: type) -> Any:
        if group is None:
            return self

        def lines(*args: P.args, **kwargs: P.kwargs) -> Any:
            return group.connection.lines(self.request(group, *args, **kwargs))

        return update_wrapper(lines, self.build)


def next_page(request: Request[Answer], cursor: str) -> Request[Answer]:
    """Return the request of the page that begins at ``cursor``."""
    return replace(request, query={**request.query, "cursor": cursor})


def call(
    method: str,
    path: str,
    read: Callable[[bytes], Answer],
    *,
    names_tenant: bool = True,
    repeatable: bool = True,
) -> Callable[[Callable[Concatenate[Any, P], Given]], Call[P, Answer]]:
    """Make a call of a method that returns its arguments.

    ``names_tenant``: the query may say which tenant the call is about. ``repeatable``: the call
    has the same effect and answer if the service has carried it out once already.
    """

    def decorate(build: Callable[Concatenate[Any, P], Given]) -> Call[P, Answer]:
        return Call(method, path, read, build, names_tenant=names_tenant, repeatable=repeatable)

    return decorate


def lines(
    path: str, read: Callable[[bytes], Item]
) -> Callable[[Callable[Concatenate[Any, P], Given]], Lines[P, Item]]:
    """Make a call that reads JSON lines, of a method as in ``call``."""

    def decorate(build: Callable[Concatenate[Any, P], Given]) -> Lines[P, Item]:
        return Lines("GET", path, read, build, names_tenant=True, repeatable=True)

    return decorate


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _segment(value: str) -> str:
    # Dots as well: HTTP libraries and proxies resolve "." and "..".
    return quote(value, safe="").replace(".", "%2E") if set(value) <= {"."} else quote(value, "")
