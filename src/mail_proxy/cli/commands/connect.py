"""Command ``connect``: a Python shell about an instance."""

from __future__ import annotations

import typer

from mail_proxy.cli.target import Target


def connect(context: typer.Context) -> None:
    """Open a Python shell with ``proxy``, on a running or a stopped instance.

    ``proxy.messages.errors()`` and the like print tables; new_message() asks for its fields.
    Commands may also come from a pipe.
    """
    # Loaded only when it is used, so that the other commands start fast.
    from mail_proxy.cli.repl.console import run_console

    target = Target.of(context)
    with target.client() as client:
        run_console(client, target.instance.name, target.tenant_id)
