"""The commands, one module per noun, and the table that registers them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import typer

#: ``mail-proxy COMMAND``: the word, and the module and function in this package.
COMMANDS = {
    "list": "instances:list_",
    "start": "lifecycle:start",
    "stop": "lifecycle:stop",
    "restart": "lifecycle:restart",
    "status": "instances:status",
    "delete": "instances:delete",
    "demo": "demo:demo",
    "bounce": "parsers:bounce",
    "pec": "parsers:pec",
}
#: Those of them that need no instance: they start without the code of the others.
STANDALONE_COMMANDS = frozenset({"bounce", "pec"})
#: Those of them that take the name of an instance.
NAMED_COMMANDS = frozenset({"start", "stop", "restart", "status", "delete"})
#: ``mail-proxy NAME COMMAND``: commands about one instance. They find it in ``context.obj``.
INSTANCE_COMMANDS = {
    "alerts": "alerts:commands",
    "audit": "audit:audit",
    "info": "info:info",
    "keys": "keys:commands",
    "log": "log:log",
    "stats": "stats:stats",
}
#: Words that cannot name an instance, so that ``mail-proxy NAME ...`` never means two things.
RESERVED_NAMES = frozenset({*COMMANDS, *INSTANCE_COMMANDS, "current", "use"})


def register(app: typer.Typer, table: Mapping[str, str]) -> None:
    """Add the commands and groups of ``table`` to ``app``, in order."""
    for word, target in table.items():
        module, _, name = target.partition(":")
        found = getattr(import_module(f"{__name__}.{module}"), name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=word)
        else:
            app.command(word)(found)
