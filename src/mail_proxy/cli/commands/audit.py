"""Command ``audit``: shows, exports and replays the audit log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mail_proxy.cli.connection import Connection, connected
from mail_proxy.cli.instance import Instance
from mail_proxy.cli.output import print_line, talk
from mail_proxy.errors import MailProxyError, Malformed

_POLL_SECONDS = 1.0
_PAGE = 1000
_SHOWN = 50
#: Most entries of a log. They are never replayed, because no mail may be sent twice.
_BULK = "messages.add"


def audit(
    context: typer.Context,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing new entries until Ctrl-C.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            min=0,
            max=_PAGE,
            help="Number of newest entries to show.",
            show_default=f"{_SHOWN}; with --json all",
        ),
    ] = None,
    json_lines: Annotated[
        bool,
        typer.Option("--json", help="Print JSON lines. Without --limit, all entries: an export."),
    ] = False,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Recreate tenants and accounts from an exported log. This instance must be empty.",
        ),
    ] = None,
) -> None:
    """Show the audit log: changes and refused calls, oldest first."""
    instance: Instance = context.obj
    if replay is not None:
        if follow or json_lines:
            raise Malformed("--replay does not go with --follow or --json")
        asyncio.run(_replay(instance, replay))
    else:
        most = _SHOWN if limit is None and not json_lines else limit
        asyncio.run(_show(instance, most, follow, json_lines))


async def _show(instance: Instance, limit: int | None, follow: bool, as_json: bool) -> None:
    if follow and instance.find_running() is None:
        raise MailProxyError(f"{instance.name} is not running, so there are no new entries")
    async with connected(instance) as connection:
        last: dict[str, Any] | None = None
        async for entry in _past(connection, limit):
            _print(entry, as_json)
            last = entry
        if last is None and limit != 0 and not as_json:
            talk("The audit log is empty: nothing was changed, and no call was refused")
        while follow:
            await asyncio.sleep(_POLL_SECONDS)
            async for entry in _after(connection, last):
                _print(entry, as_json)
                last = entry


async def _past(connection: Connection, limit: int | None) -> AsyncIterator[dict[str, Any]]:
    if limit is None:
        async for line in connection.lines("/command-log/export"):
            yield json.loads(line)
    elif limit:
        answer = await connection.json("GET", "/command-log", params={"limit": limit})
        for entry in reversed(answer["commands"]):
            yield entry


async def _after(
    connection: Connection, last: dict[str, Any] | None
) -> AsyncIterator[dict[str, Any]]:
    since = {"since_ts": last["command_ts"]} if last else {}
    async for line in connection.lines("/command-log/export", params=since):
        entry = json.loads(line)
        if last is None or entry["id"] > last["id"]:
            yield entry


def _print(entry: dict[str, Any], as_json: bool) -> None:
    print_line(json.dumps(entry) if as_json else _words(entry))


def _words(entry: dict[str, Any]) -> str:
    when = datetime.fromtimestamp(entry["command_ts"]).astimezone().isoformat(" ", "seconds")
    parts = [when, str(entry["status"]), entry["actor"], entry["endpoint"]]
    parts += [f"{name}={entry[name]}" for name in ("tenant_id", "address") if entry[name]]
    return "  ".join(parts + ([entry["error"]] if entry["error"] else []))


async def _replay(instance: Instance, file: Path) -> None:
    kept, left_out = _without_messages(file)
    async with connected(instance) as connection:
        answer = await connection.json("POST", "/command-log/replay", content=kept)
    talk(f"{answer['replayed']} entries were replayed, {answer['skipped'] + left_out} skipped")
    talk("An export holds no secrets: set the passwords and create the tenants' keys again")


def _without_messages(file: Path) -> tuple[bytes, int]:
    """Blank the lines of ``messages.add``, so that the other lines keep their numbers."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise MailProxyError(f"{file}: {error.strerror}") from None
    mark = f'"operation":"{_BULK}"'.encode()
    kept = [b"" if mark in line.replace(b'": "', b'":"') else line for line in lines]
    return b"\n".join(kept), kept.count(b"") - lines.count(b"")
