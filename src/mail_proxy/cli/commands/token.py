"""Command ``token``: shows the admin token, or makes a new one."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mail_proxy.cli.options import Json
from mail_proxy.cli.output import print_json, print_line, talk
from mail_proxy.cli.target import Target
from mail_proxy.errors import Conflict, NotFound


def token(
    context: typer.Context,
    regenerate: Annotated[
        bool,
        typer.Option("--regenerate", help="Make a new token; the old one stops working."),
    ] = False,
    json: Json = False,
) -> None:
    """Show the admin token, which calls carry as X-API-Token."""
    instance = Target.of(context).instance
    if regenerate:
        # Loaded only if it is needed, because it loads a library for encryption.
        from mail_proxy.encryption import new_token

        origin = instance.load_config(None, os.environ).origins["api_token"]
        if origin != "default":
            raise Conflict(f"the token comes from the {origin}: change it there")
        instance.refuse_while_running(f"`mail-proxy stop {instance.name}` first")
        # Held, so that the instance cannot be started in between.
        with instance.pid_file.hold():
            instance.keep_token(new_token())
        talk(f"The next start of {instance.name} takes this token only:")
    found = instance.token()
    if found is None:
        raise NotFound(f"{instance.name} has no token yet; `mail-proxy start {instance.name}`")
    if json:
        print_json({"token": found})
    else:
        print_line(found)
