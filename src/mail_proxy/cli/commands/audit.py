"""Command ``audit``: shows, exports and replays the audit log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mail_proxy.cli.output import print_line, talk
from mail_proxy.cli.target import Target
from mail_proxy.errors import MailProxyError, Malformed

if TYPE_CHECKING:
    from mail_proxy.client import MailProxyClient
    from mail_proxy.wire.command_log import CommandOut

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
    target = Target.of(context)
    if replay is not None:
        if follow or json_lines:
            raise Malformed("--replay does not go with --follow or --json")
        _replay(target, replay)
    else:
        most = _SHOWN if limit is None and not json_lines else limit
        _show(target, most, follow, json_lines)


def _show(target: Target, limit: int | None, follow: bool, as_json: bool) -> None:
    name = target.instance.name
    if follow and target.instance.find_running() is None:
        raise MailProxyError(f"{name} is not running, so there are no new entries")
    with target.client() as client:
        last: CommandOut | None = None
        for entry in _past(client, limit):
            _print(entry, as_json)
            last = entry
        if last is None and limit != 0 and not as_json:
            talk("The audit log is empty: nothing was changed, and no call was refused")
        while follow:
            time.sleep(_POLL_SECONDS)
            for entry in _after(client, last):
                _print(entry, as_json)
                last = entry


def _past(client: MailProxyClient, limit: int | None) -> Iterator[CommandOut]:
    if limit is None:
        yield from client.audit.export()
    elif limit:
        yield from reversed(client.audit.list(limit=limit))


def _after(client: MailProxyClient, last: CommandOut | None) -> Iterator[CommandOut]:
    since = last.command_ts if last else None
    for entry in client.audit.export(since_ts=since):
        if last is None or entry.id > last.id:
            yield entry


def _print(entry: CommandOut, as_json: bool) -> None:
    print_line(entry.model_dump_json() if as_json else _words(entry))


def _words(entry: CommandOut) -> str:
    when = datetime.fromtimestamp(entry.command_ts).astimezone().isoformat(" ", "seconds")
    parts = [when, str(entry.status), entry.actor, entry.endpoint]
    about = {"tenant_id": entry.tenant_id, "address": entry.address}
    parts += [f"{name}={value}" for name, value in about.items() if value]
    return "  ".join(parts + ([entry.error] if entry.error else []))


def _replay(target: Target, file: Path) -> None:
    kept, left_out = _without_messages(file)
    with target.client() as client:
        answer = client.audit.replay(kept)
    talk(f"{answer.replayed} entries were replayed, {answer.skipped + left_out} skipped")
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
