"""Commands ``suppressions``: list, add, delete, import, export."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from mail_proxy.cli.csv_pieces import pieces_of
from mail_proxy.cli.options import Csv, Json
from mail_proxy.cli.output import (
    moment,
    print_json,
    print_line,
    print_model,
    print_rows,
    progressing,
    talk,
)
from mail_proxy.cli.target import Target

commands = typer.Typer(help="Addresses that a tenant does not send to any more.")
_MOST_NAMED = 20


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


@commands.command("import")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="List in CSV; - is standard input.")],
    json: Json = False,
) -> None:
    """Add the addresses of a CSV list. Exit code 1 if a line has a mistake.

    Columns are address, reason, since_ts, detail, message_id in any order, named in the first
    line. Without titles the first column is the address.
    """
    total = {"added": 0, "known": 0, "rejected": 0}
    mistakes: list[dict[str, object]] = []
    with Target.of(context).client() as client, progressing("Adding addresses") as update:
        for piece in pieces_of(file):
            found = client.suppressions.load(piece.octets)
            for name in total:
                total[name] += getattr(found, name)
            for wrong in found.mistakes:
                line = wrong.line and wrong.line + piece.lines_before
                mistakes.append({"line": line, "reason": wrong.reason})
            update(piece.done, piece.total)
    if json:
        print_json({**total, "mistakes": mistakes[:_MOST_NAMED]})
    else:
        talk(f"{total['added']} added, {total['known']} known, {total['rejected']} rejected")
        for one in mistakes[:_MOST_NAMED]:
            talk(escape(f"line {one['line']}: {one['reason']}"))
    if total["rejected"]:
        raise typer.Exit(1)


@commands.command()
def export(
    context: typer.Context,
    reason: Annotated[Reason | None, typer.Option(help="Only this reason.")] = None,
) -> None:
    """Print the list as CSV; `import` reads it back."""
    with Target.of(context).client() as client:
        for line in client.suppressions.export(reason=reason.value if reason else None):
            print_line(line)
