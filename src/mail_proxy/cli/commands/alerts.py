"""Command ``alerts test``."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer
from rich.markup import escape

from mail_proxy.cli.connection import connected
from mail_proxy.cli.instance import Instance
from mail_proxy.cli.output import print_json, talk

commands = typer.Typer(help="Alerts to a person about what needs attention.")


@commands.command()
def test(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send a test alert to alert_email and alert_url.

    Exit code 1 if one of them did not take it.
    """
    answer = asyncio.run(_test(context.obj))
    if json:
        print_json(answer)
    else:
        for result in answer["channels"]:
            words = "sent" if result["ok"] else f"failed: {result['detail']}"
            talk(f"{result['channel']}: {escape(words)}")
    if not answer["ok"]:
        raise typer.Exit(1)


async def _test(instance: Instance) -> dict[str, Any]:
    async with connected(instance) as connection:
        return await connection.json("POST", "/alerts/test")
