"""Entry point of the command line ``mail-proxy``. Commands: ``cli.commands``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from mail_proxy.cli.commands import COMMANDS, STANDALONE_COMMANDS, register
from mail_proxy.cli.output import complain, print_line
from mail_proxy.errors import MailProxyError

_HELP = "A durable mail queue between applications and SMTP servers."
_EPILOG = (
    "[bold]mail-proxy NAME --help[/] shows the commands about one instance, such as "
    "[bold]mail-proxy NAME keys rotate[/]. NAME may also stand behind a command, and may be left "
    "out if there is a single instance. "
    "An instance is a folder in ~/.mail-proxy (GMP_HOME overrides the parent folder). "
    "Exit codes: 0 done, 1 failed, 2 wrong usage."
)


def main() -> None:
    """Run the command that ``sys.argv`` names, and exit with its code."""
    words = sys.argv[1:]
    try:
        if STANDALONE_COMMANDS.intersection(words[:1]):
            command_line({words[0]: COMMANDS[words[0]]})(args=words)
        else:
            _run_about_instances(words)
    except MailProxyError as error:
        complain(error.message)
        sys.exit(error.exit_code)


def command_line(table: Mapping[str, str]) -> typer.Typer:
    """Return the command line with the commands of ``table``, such as ``COMMANDS``."""
    app = typer.Typer(
        name="mail-proxy",
        help=_HELP,
        epilog=_EPILOG,
        no_args_is_help=True,
        rich_markup_mode="rich",
        # Typer's stack traces show local variables, some of which are secrets.
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    register(app, table)
    return app


def _run_about_instances(words: Sequence[str]) -> None:
    # Imported here: it needs most of the program, which the standalone commands do without.
    from mail_proxy.cli import instance_commands

    words = instance_commands.arranged(words, os.environ)
    instance = instance_commands.chosen(words, os.environ)
    if instance is None:
        command_line(COMMANDS)(args=list(words))
    else:
        instance_commands.run(instance, words[1:])


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"genro-mail-proxy {version('genro-mail-proxy')}")
        raise typer.Exit


def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass
