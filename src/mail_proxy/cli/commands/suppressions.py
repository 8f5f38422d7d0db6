"""Commands ``suppressions``: list, add, delete."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from typing import Annotated

import typer

from mail_proxy.cli.options import Csv, Json
from mail_proxy.cli.output import moment, print_model, print_rows, talk
from mail_proxy.cli.target import Target

commands = typer.Typer(help="Addresses that a tenant does not send to any more.")


class Reason(StrEnum):
    """Reason of a suppression."""

    BOUNCE = "bounce"
    COMPLAINT = "complaint"
    UNSUBSCRIBED = "unsubscribed"
    MANUAL = "manual"


@commands.command("list")
def list_(
    context: typer.Context,
    address: Annotated[str | None, typer.Option(help="Only this address.")] = None,
    reason: Annotated[Reason | None, typer.Option(help="Only this reason.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="Most addresses to show.")
    ] = 1000,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """List suppressed addresses; without a tenant, those of all."""
    with Target.of(context).client() as client:
        every = client.suppressions.iterate(
            address=address, reason=reason.value if reason else None
        )
        found = list(islice(every, limit))
    columns = ["Tenant", "Address", "Reason", "Since", "Detail"]
    rows = [
        (one.tenant_id, one.address, one.reason, moment(one.since_ts), one.detail or "")
        for one in found
    ]
    print_rows(columns, rows, found, as_json=json, as_csv=csv, cut=("Address", "Detail"))


@commands.command()
def add(
    context: typer.Context,
    addresses: Annotated[list[str], typer.Argument(metavar="ADDRESS...", help="The addresses.")],
    reason: Annotated[Reason, typer.Option(help="Why.")] = Reason.MANUAL,
    detail: Annotated[str | None, typer.Option(help="A note.")] = None,
    json: Json = False,
) -> None:
    """Send no more messages to these addresses."""
    with Target.of(context).client() as client:
        answer = client.suppressions.add(addresses, reason=reason.value, detail=detail)
    if json:
        print_model(answer)
    else:
        talk(f"{answer.added} added")


@commands.command()
def delete(
    context: typer.Context,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The address.")],
) -> None:
    """Take an address off the list, so that messages are sent to it again."""
    with Target.of(context).client() as client:
        client.suppressions.delete(address)
    talk(f"{address} is off the list")
