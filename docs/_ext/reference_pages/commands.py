"""Generates the reference of the command line from its commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mail_proxy.cli.commands import COMMANDS, Scope
from mail_proxy.cli.root import root
from reference_pages.markdown import code, table

_FRONT = {
    Scope.NOTHING: "",
    Scope.NAME: "",
    Scope.INSTANCE: "NAME ",
    Scope.TENANT: "NAME TENANT ",
}


def render() -> str:
    return "\n\n".join(part for word in COMMANDS for part in _command(word))


def titles() -> list[str]:
    """List the commands, those of groups with both words."""
    return [title for word in COMMANDS for title, _ in _found(word)]


def _command(word: str) -> Iterator[str]:
    for title, command in _found(word):
        yield f"## {title}"
        front = _FRONT[COMMANDS[word].scope]
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and not _is_help(p)]
        words = [f"mail-proxy {front}{title}", *(_metavar(argument) for argument in arguments)]
        yield f"    {' '.join(words)}{' [OPTIONS]' if options else ''}"
        yield _markdown(command.help)
        if options:
            yield table(["Option", "Meaning", "Default"], map(_row, options))


def _found(word: str) -> Iterator[tuple[str, Any]]:
    command = root().commands[word]
    if COMMANDS[word].plain is None:
        yield word, command
    else:
        for name, found in command.commands.items():
            yield f"{word} {name}", found


def _row(option: Any) -> tuple[str, str, str]:
    names = ", ".join(code(name) for name in [*option.opts, *option.secondary_opts])
    return names, _markdown(option.help or ""), _default(option)


def _default(option: Any) -> str:
    if isinstance(option.show_default, str):
        return option.show_default
    if option.default is None or isinstance(option.default, bool) or callable(option.default):
        return ""
    value = getattr(option.default, "value", option.default)
    return code(f"{value:g}" if isinstance(value, float) else value)


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    is_marked = argument.required or name.startswith("[")
    return str(name) if is_marked else f"[{name}]"


def _is_help(parameter: Any) -> bool:
    return "--help" in parameter.opts


def _markdown(text: str) -> str:
    return text.strip().replace("<", "&lt;").replace("*", r"\*")
