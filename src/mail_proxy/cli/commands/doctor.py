"""Command ``doctor``: looks for faults of an instance."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict

import typer
from rich.markup import escape
from rich.text import Text

from mail_proxy.cli.options import Json
from mail_proxy.cli.output import print_json, print_table, talk, waiting
from mail_proxy.cli.target import Target

#: As of ``status``: something needs attention.
_SOMETHING_TO_DO = 5


def doctor(context: typer.Context, json: Json = False) -> None:
    """Check everything that an operator would look at, and say what to do.

    Database, disk, key, token, files, port, clock and backup; each account (log-in, certificate),
    application and mailbox; MX, SPF, DKIM and DMARC of each sender domain. Each application gets
    an empty report call. Exit code 5 if there is something to do.
    """
    # Loaded only when it is used, so that the other commands start fast.
    from mail_proxy.cli.doctor import examine

    instance = Target.of(context).instance
    with waiting(f"Examining {instance.name}"):
        found = asyncio.run(examine(instance, os.environ))
    faults = [finding for finding in found if not finding.ok]
    if json:
        print_json({"ok": not faults, "checks": [asdict(finding) for finding in found]})
    else:
        print_table(
            ["Check", "About", "Result", "Found"],
            [
                (f.check, f.subject, Text("ok", "green") if f.ok else Text("fault", "red"), f.text)
                for f in found
            ],
            wrapped=("About", "Found"),
        )
        for finding in faults:
            about = escape(f"{finding.check} {finding.subject}")
            talk(f"[yellow]{about}[/]: {escape(finding.text)}")
            talk(f"  do: {escape(finding.hint or '')}")
        if not faults:
            talk("[green]All is well[/]")
    if faults:
        raise typer.Exit(_SOMETHING_TO_DO)
