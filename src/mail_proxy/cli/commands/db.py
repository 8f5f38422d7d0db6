"""Command ``db upgrade``: brings the schema of the database to this version."""

from __future__ import annotations

import os

import typer

from mail_proxy.cli.options import Json
from mail_proxy.cli.output import print_json, talk, waiting
from mail_proxy.cli.target import Target

commands = typer.Typer(help="The schema of the instance's database.")


@commands.callback()
def _group() -> None:
    pass


@commands.command()
def upgrade(context: typer.Context, json: Json = False) -> None:
    """Bring the schema of the database to this version. Every start does it too.

    Stop the instance first.
    """
    # Loaded only when it runs, so that the other commands start fast.
    import mail_proxy.features.registry  # noqa: F401  # declares the tables of features
    from mail_proxy.operations.keys import find_key
    from mail_proxy.sql import SqlDb, migrations

    instance = Target.of(context).instance
    instance.refuse_while_running(f"its start has done it; `mail-proxy stop {instance.name}` first")
    config = instance.load_own_config(None, os.environ).config
    # Held, so that the instance cannot be started in between.
    with instance.pid_file.hold(), waiting(f"Upgrading the database of {instance.name}"):
        db = SqlDb(config.database_url)
        try:
            before, after = migrations.upgrade(db, key=find_key(config, db))
        finally:
            db.dispose()
    if json:
        print_json({"before": before, "after": after})
    elif before == after:
        talk(f"The database has schema {after} already, which is that of this version")
    else:
        talk(f"The database has schema {after} now, before: {before or 'none'}")
