"""Commands ``alerts test`` and ``alerts secret``."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Any

import typer
from rich.markup import escape

from mail_proxy.cli.connection import connected
from mail_proxy.cli.instance import Instance
from mail_proxy.cli.output import print_json, print_line, talk

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


@commands.command()
def secret(context: typer.Context) -> None:
    """Print the secret that signs the calls to alert_url; make it if there is none."""
    # Imported only when it runs, so that the other commands start fast.
    from mail_proxy.features.alerts.table import AlertSecretTable
    from mail_proxy.operations.keys import find_key
    from mail_proxy.sql import SqlDb
    from mail_proxy.sql.migrations import upgrade

    instance: Instance = context.obj
    config = instance.load_own_config(None, os.environ).config
    if config.alerts.alert_secret is not None:
        print_line(config.alerts.alert_secret.get_secret_value())
        return
    db = SqlDb(config.database_url)
    try:
        key = find_key(config, db)
        upgrade(db, key=key)
        print_line(db.write_now(AlertSecretTable(key).obtain))
    finally:
        db.dispose()


async def _test(instance: Instance) -> dict[str, Any]:
    async with connected(instance) as connection:
        return await connection.json("POST", "/alerts/test")
