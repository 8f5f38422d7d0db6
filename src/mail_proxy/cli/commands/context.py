"""Commands ``use`` and ``current``: instance and tenant of later commands."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mail_proxy.cli.current import current as find_current
from mail_proxy.cli.current import forget, remember
from mail_proxy.cli.names import existing_names
from mail_proxy.cli.options import Json
from mail_proxy.cli.output import print_facts, print_json, talk
from mail_proxy.cli.target import Target


def _names() -> list[str]:
    return existing_names(os.environ)


def use(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME[/TENANT]",
            help="Instance, and the tenant for commands about one.",
            autocompletion=_names,
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Forget what is remembered.")] = False,
) -> None:
    """Remember an instance and a tenant for later commands that name none.

    GMP_INSTANCE and GMP_TENANT override it.
    """
    if clear or target is None:
        if not clear:
            raise typer.BadParameter("name an instance, or give --clear")
        forget(os.environ)
        talk("Commands that name no instance use the only one again")
        return
    found = Target.named(target)
    remember(found.instance.name, found.tenant_id, os.environ)
    about = f", tenant {found.tenant_id}" if found.tenant_id else ""
    talk(f"Commands that name no instance use {found.instance.name}{about}")


def current(json: Json = False) -> None:
    """Show the instance and tenant of commands that name none."""
    found = find_current(os.environ)
    if json:
        print_json(found._asdict())
        return
    print_facts(
        [
            ("instance", f"{found.name} ({found.name_origin})"),
            ("tenant", f"{found.tenant} ({found.tenant_origin})" if found.tenant else "none"),
        ]
    )
