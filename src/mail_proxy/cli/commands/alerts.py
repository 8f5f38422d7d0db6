"""Command ``alerts test``."""

from __future__ import annotations

import typer
from rich.markup import escape

from mail_proxy.cli.options import Json
from mail_proxy.cli.output import print_model, talk
from mail_proxy.cli.target import Target

commands = typer.Typer(help="Alerts to a person about what needs attention.")


@commands.callback()
def _group() -> None:
    pass


@commands.command()
def test(context: typer.Context, json: Json = False) -> None:
    """Send a test alert to alert_email and alert_url.

    Exit code 1 if one of them did not take it.
    """
    with Target.of(context).client() as client:
        answer = client.alerts.test()
    if json:
        print_model(answer)
    else:
        for result in answer.channels:
            words = "sent" if result.ok else f"failed: {result.detail}"
            talk(f"{result.channel}: {escape(words)}")
    if not answer.ok:
        raise typer.Exit(1)
