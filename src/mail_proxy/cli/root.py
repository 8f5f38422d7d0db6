"""The root of all commands: ``mail-proxy``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.main import get_command

from mail_proxy.cli.grammar import arranged
from mail_proxy.cli.groups import CONTEXT_SETTINGS, RootGroup
from mail_proxy.cli.names import exists
from mail_proxy.cli.output import print_line
from mail_proxy.cli.overview import print_overview, wants_overview

_NAME = "mail-proxy"
_app = typer.Typer(
    name=_NAME,
    cls=RootGroup,
    rich_markup_mode="rich",
    # Typer's stack traces show local variables, some of which are secrets.
    pretty_exceptions_enable=False,
    context_settings=CONTEXT_SETTINGS,
)


def run(words: Sequence[str], environ: Mapping[str, str]) -> None:
    """Run a command and exit with its code. Raises MailProxyError."""
    ordered = arranged(words, environ)
    if ordered and exists(ordered[0].partition("/")[0], environ) and wants_overview(ordered[1:]):
        print_overview()
        raise SystemExit(0 if ordered[1:] else 2)
    root()(args=ordered, prog_name=_NAME)


def root() -> Any:
    """Return the command that all others are below."""
    return get_command(_app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print_line(f"genro-mail-proxy {version('genro-mail-proxy')}")
        raise typer.Exit


@_app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass
