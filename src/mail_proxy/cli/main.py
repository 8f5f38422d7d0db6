"""Entry point of the command line ``mail-proxy``. Commands: ``cli.commands``."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from mail_proxy.cli import instance_commands
from mail_proxy.cli.commands import COMMANDS, register
from mail_proxy.cli.output import complain, print_line
from mail_proxy.errors import MailProxyError

app = typer.Typer(
    name="mail-proxy",
    help="A durable mail queue between applications and SMTP servers.",
    epilog="[bold]mail-proxy NAME --help[/] shows the commands about one instance, such as "
    "[bold]mail-proxy NAME keys rotate[/]. NAME may also stand behind a command, and may be left "
    "out if there is a single instance. "
    "An instance is a folder in ~/.mail-proxy (GMP_HOME overrides the parent folder). "
    "Exit codes: 0 done, 1 failed, 2 wrong usage.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    # Typer's stack traces show local variables, some of which are secrets.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
register(app, COMMANDS)


def main() -> None:
    """Run the command that ``sys.argv`` names, and exit with its code."""
    try:
        words = instance_commands.arranged(sys.argv[1:], os.environ)
        instance = instance_commands.chosen(words, os.environ)
        if instance is None:
            app(args=words)
        else:
            instance_commands.run(instance, words[1:])
    except MailProxyError as error:
        complain(error.message)
        sys.exit(error.exit_code)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"genro-mail-proxy {version('genro-mail-proxy')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass
