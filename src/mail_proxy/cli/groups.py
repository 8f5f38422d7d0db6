"""Groups of commands that load a command's module when it is used."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from mail_proxy.cli import commands
from mail_proxy.cli.commands import COMMANDS, Scope
from mail_proxy.cli.names import existing_names

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"]}
_OF_INSTANCE = {
    word: e for word, e in COMMANDS.items() if e.scope in (Scope.INSTANCE, Scope.TENANT)
}


class _Loaded(Mapping[str, Any]):
    """Commands by their words; each is loaded when it is taken."""

    def __init__(self, table: Mapping[str, commands.Entry]) -> None:
        self._table = table

    def __getitem__(self, word: str) -> Any:
        module, _, name = self._table[word].target.partition(":")
        return loaded(word, getattr(import_module(f"{commands.__name__}.{module}"), name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


class InstanceGroup(TyperGroup):
    """Commands about one instance or tenant: ``mail-proxy NAME COMMAND``."""


class RootGroup(TyperGroup):
    """All commands; the name of an instance leads to those about it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "commands": None})
        self.commands = cast(Any, _Loaded(COMMANDS))

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands, then the instances, for the completion."""
        return [*COMMANDS, *existing_names(os.environ)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or the group of an instance."""
        name = cmd_name.partition("/")[0]
        if name in existing_names(os.environ):
            return _of_instance(cmd_name)
        return super().get_command(ctx, cmd_name)


def loaded(word: str, found: Any) -> Any:
    """Return the command or group that a module defines."""
    if isinstance(found, typer.Typer):
        group = get_group(found)
        group.name = word
        group.no_args_is_help = True
        return group
    single = typer.Typer(
        add_completion=False, rich_markup_mode="rich", context_settings=CONTEXT_SETTINGS
    )
    single.command(word)(found)
    return get_command(single)


def _of_instance(text: str) -> InstanceGroup:
    # Imported when it is needed: it loads the settings.
    from mail_proxy.cli.target import Target

    settings = {**CONTEXT_SETTINGS, "obj": Target.named(text)}
    group = InstanceGroup(name=text, context_settings=settings, rich_markup_mode="rich")
    group.commands = cast(Any, _Loaded(_OF_INSTANCE))
    return group
