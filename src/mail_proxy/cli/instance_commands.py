"""``mail-proxy NAME ...``: the commands that are about one instance.

They are registered here. Each takes a ``typer.Context`` and finds its ``Instance`` in ``obj``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import typer

from mail_proxy.cli.commands import keys, log
from mail_proxy.cli.instance import Instance, home_folder, is_name

commands = typer.Typer(
    help="Commands about one instance.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
commands.add_typer(keys.commands, name="keys")
commands.command()(log.log)


def chosen(words: Sequence[str], environ: Mapping[str, str]) -> Instance | None:
    """The instance that the first of the command line's words names, None for all other words.

    Raises NotFound where the second one is a command about an instance, and the first names none.
    """
    if not words or not is_name(words[0]):
        return None
    if len(words) > 1 and words[1] in _names():
        return Instance.existing(words[0], environ)
    instance = Instance(words[0], home_folder(environ))
    return instance if instance.exists() else None


def run(instance: Instance, words: Sequence[str]) -> None:
    """Run what the words after the instance's name say."""
    commands(args=list(words), prog_name=f"mail-proxy {instance.name}", obj=instance)


def _names() -> set[str | None]:
    single = {c.name or c.callback.__name__ for c in commands.registered_commands if c.callback}
    return single | {group.name for group in commands.registered_groups}
