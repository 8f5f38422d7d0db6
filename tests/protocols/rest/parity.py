"""Where each operation can be called: its route and its name in ``handle_command``."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mail_proxy.cli
from mail_proxy.api.app import routes
from mail_proxy.api.deps import Route, Token
from mail_proxy.client import MailProxyClient
from mail_proxy.client.calls import Route as ClientRoute
from mail_proxy.operations.operation import Operation


class Door(NamedTuple):
    """One way to call an operation."""

    method: str
    path: str
    token: Token


def operations_of(route: Route) -> Iterator[Operation[Any, Any]]:
    """The operations that the function of a route calls: ``call(module.name, ...)``."""
    of_feature = getattr(route.endpoint, "operation", None)
    if of_feature is not None:
        yield of_feature
        return
    tree = ast.parse(textwrap.dedent(inspect.getsource(route.endpoint)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "call":
            found = eval(ast.unparse(node.args[0]), route.endpoint.__globals__)
            assert isinstance(found, Operation)
            yield found


#: Second routes of operations.
ALIASES = frozenset({("POST", "/instance/reload-bounce")})


def doors() -> dict[str, list[Door]]:
    """By the name of the operation, the routes that lead to it."""
    found: dict[str, list[Door]] = {}
    for route in routes():
        for operation in operations_of(route):
            for method in route.methods or ():
                if (method, route.path_format) in ALIASES:
                    continue
                door = Door(method, route.path_format, route.token)
                found.setdefault(operation.name, []).append(door)
    return found


def client_calls() -> dict[tuple[str, str], list[str]]:
    """By method and path, the names of the client library's calls: ``messages.add``."""
    found: dict[tuple[str, str], list[str]] = {}
    with MailProxyClient("http://localhost") as client:
        groups = {k: type(v) for k, v in vars(client).items() if not k.startswith("_")}
    for noun, group in groups.items():
        for verb, value in vars(group).items():
            if isinstance(value, ClientRoute):
                found.setdefault((value.method, value.path), []).append(f"{noun}.{verb}")
    return found


def commands_calls() -> set[str]:
    """The client library's calls that the command line makes: ``messages.add``."""
    found = set()
    for file in Path(mail_proxy.cli.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute):
                words = ast.unparse(node).split(".")
                if len(words) == 3 and words[0] == "client":
                    found.add(".".join(words[1:]))
    return found
