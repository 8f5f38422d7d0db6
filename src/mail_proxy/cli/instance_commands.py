"""Commands about one instance: ``mail-proxy NAME COMMAND``.

Each takes a ``typer.Context`` and finds its ``Instance`` in ``obj``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import typer

from mail_proxy.cli.commands import INSTANCE_COMMANDS, NAMED_COMMANDS, register
from mail_proxy.cli.instance import Instance, home_folder, is_name, only_name

commands = typer.Typer(
    help="Commands about one instance.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
register(commands, INSTANCE_COMMANDS)


def arranged(words: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the words of a command line in the usual order.

    The name of an instance may stand in front of a command or behind it, and may be left out if
    there is a single instance.
    """
    first, second, *rest = [*words, "", ""][: max(2, len(words))]
    if first in NAMED_COMMANDS or not words:
        return list(words)
    if is_name(first) and second in NAMED_COMMANDS:
        return [second, first, *rest]
    if first not in INSTANCE_COMMANDS:
        return list(words)
    # `log shop`, `keys rotate shop`: the group's own command may come first.
    for place, word in enumerate(words[1:3], 1):
        if is_name(word) and Instance(word, home_folder(environ)).exists():
            return [word, *words[:place], *words[place + 1 :]]
    return [only_name(environ), *words]


def chosen(words: Sequence[str], environ: Mapping[str, str]) -> Instance | None:
    """Return the instance that the first word names, or None for a command.

    Raises NotFound if the second word is a command about an instance and no instance has that name.
    """
    if not words or not is_name(words[0]):
        return None
    if len(words) > 1 and words[1] in INSTANCE_COMMANDS:
        return Instance.existing(words[0], environ)
    instance = Instance(words[0], home_folder(environ))
    return instance if instance.exists() else None


def run(instance: Instance, words: Sequence[str]) -> None:
    """Run the command that follows the instance's name on the command line."""
    commands(args=list(words), prog_name=f"mail-proxy {instance.name}", obj=instance)
