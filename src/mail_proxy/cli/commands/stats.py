"""Command ``stats``: shows how many messages were taken in, sent and given up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from mail_proxy.cli.connection import connected
from mail_proxy.cli.instance import Instance
from mail_proxy.cli.output import print_json, print_table, talk
from mail_proxy.wire.stats import Bucket, StatsGroup

_PAGE = 10_000
_COUNTERS = ("queued", "sent", "deferred", "error", "bounced", "complained", "reported")


def stats(
    context: typer.Context,
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Begin at this time: Unix seconds, or ISO 8601 with a zone.",
            show_default="24 hours or 30 days ago",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="End at this time.", show_default="now"),
    ] = None,
    bucket: Annotated[Bucket, typer.Option(help="Hours, or days in UTC.")] = Bucket.HOUR,
    by: Annotated[
        StatsGroup, typer.Option(help="Tenants, or each of their accounts.")
    ] = StatsGroup.TENANT,
    tenant: Annotated[
        str | None, typer.Option(help="Only this tenant.", show_default="all tenants")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how many messages were taken in, sent, deferred, given up and reported."""
    instance: Instance = context.obj
    query: dict[str, Any] = {
        "from_ts": since,
        "to_ts": until,
        "bucket": bucket.value,
        "by": by.value,
        "tenant_id": tenant,
        "limit": _PAGE,
    }
    given = {name: value for name, value in query.items() if value is not None}
    rows = asyncio.run(_rows(instance, given))
    if json:
        print_json(rows)
    elif not rows:
        talk("Nothing was counted in this time")
    else:
        _print(rows, bucket)


async def _rows(instance: Instance, query: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    async with connected(instance) as connection:
        while True:
            answer = await connection.json("GET", "/stats", params=query)
            rows += answer["stats"]
            if answer["next_cursor"] is None:
                return rows
            query = {**query, "cursor": answer["next_cursor"]}


def _print(rows: Sequence[dict[str, Any]], bucket: Bucket) -> None:
    names = [name for name in ("tenant_id", "account_id") if name in rows[0]]
    titles = [bucket.value, *(name.removesuffix("_id") for name in names), *_COUNTERS]
    print_table(
        [title.capitalize() for title in titles],
        [
            (
                _when(row["bucket_ts"], bucket),
                *(row[name] for name in names),
                *(str(row[counter]) for counter in _COUNTERS),
            )
            for row in rows
        ],
    )


def _when(bucket_ts: int, bucket: Bucket) -> str:
    when = datetime.fromtimestamp(bucket_ts, UTC)
    if bucket is Bucket.DAY:
        return when.date().isoformat()
    return when.astimezone().strftime("%Y-%m-%d %H:%M")
