"""Command ``stats``: shows how many messages were taken in, sent and given up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mail_proxy.cli.options import Json
from mail_proxy.cli.output import print_json, print_table, talk
from mail_proxy.cli.target import Target

if TYPE_CHECKING:
    from mail_proxy.wire.stats import StatsOut

_PAGE = 10_000
_COUNTERS = ("queued", "sent", "deferred", "error", "bounced", "complained", "reported")


class Bucket(StrEnum):
    """Width of a bucket of counters."""

    HOUR = "hour"
    DAY = "day"


class Group(StrEnum):
    """Subjects whose counters are shown apart."""

    TENANT = "tenant"
    ACCOUNT = "account"


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
    by: Annotated[Group, typer.Option(help="Tenants, or each of their accounts.")] = Group.TENANT,
    tenant: Annotated[
        str | None, typer.Option(help="Only this tenant.", show_default="all tenants")
    ] = None,
    json: Json = False,
) -> None:
    """Show how many messages were taken in, sent, deferred, given up and reported."""
    target = Target.of(context)
    with target.client() as client:
        found = client.stats.iterate(
            from_ts=since,
            to_ts=until,
            bucket=bucket.value,
            by=by.value,
            limit=_PAGE,
            tenant_id=tenant,
        )
        rows = list(found)
    if json:
        print_json([row.model_dump(mode="json", exclude_unset=True) for row in rows])
    elif not rows:
        talk("Nothing was counted in this time")
    else:
        _print(rows, bucket, by)


def _print(rows: Sequence[StatsOut], bucket: Bucket, by: Group) -> None:
    names = ["tenant_id", "account_id"][: 1 + (by is Group.ACCOUNT)]
    titles = [bucket.value, *(name.removesuffix("_id") for name in names), *_COUNTERS]
    print_table(
        [title.capitalize() for title in titles],
        [
            (
                _when(row.bucket_ts, bucket),
                *(getattr(row, name) for name in names),
                *(str(getattr(row, counter)) for counter in _COUNTERS),
            )
            for row in rows
        ],
    )


def _when(bucket_ts: int, bucket: Bucket) -> str:
    when = datetime.fromtimestamp(bucket_ts, UTC)
    if bucket is Bucket.DAY:
        return when.date().isoformat()
    return when.astimezone().strftime("%Y-%m-%d %H:%M")
