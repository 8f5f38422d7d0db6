"""Command ``log``: shows the log that a service in the background has written."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Annotated, BinaryIO

import typer
from rich.markup import escape

from mail_proxy.cli.instance import Instance
from mail_proxy.cli.output import print_line, talk
from mail_proxy.cli.target import Target
from mail_proxy.kit.private_files import open_private

_POLL_SECONDS = 0.5
_SHOWN = 50
_BLOCK_BYTES = 65_536
#: Longest part of the file that is read for the newest lines.
_MOST_BYTES = 16_000_000


def log(
    context: typer.Context,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing new lines until Ctrl-C.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, max=100_000, help="Number of newest lines.")
    ] = _SHOWN,
) -> None:
    """Show the service's own log; `audit` shows who changed what."""
    instance = Target.of(context).instance
    place = 0
    with _opened(instance) as file:
        place = file.seek(0, os.SEEK_END)
        for line in _newest(file, place, limit):
            print_line(line)
    if place == 0:
        talk(f"The log of {instance.name} is empty: {escape(str(instance.log_file))}")
        talk("Started without --background, an instance logs to its terminal instead")
    while follow:
        time.sleep(_POLL_SECONDS)
        place = _print_new(instance, place)


def _opened(instance: Instance) -> BinaryIO:
    try:
        return os.fdopen(open_private(instance.log_file, os.O_RDONLY), "rb")
    except FileNotFoundError:
        return BytesIO()


def _newest(file: BinaryIO, end: int, limit: int) -> Iterator[str]:
    """Yield the last lines in front of a place, the oldest first."""
    text, begin = b"", end
    while limit and begin > 0 and text.count(b"\n") <= limit and len(text) < _MOST_BYTES:
        begin = max(0, begin - _BLOCK_BYTES)
        file.seek(begin)
        text = file.read(min(_BLOCK_BYTES, end - begin)) + text
    lines = text.splitlines()
    yield from (line.decode(errors="replace") for line in lines[max(0, len(lines) - limit) :])


def _print_new(instance: Instance, place: int) -> int:
    """Print the whole lines behind a place; return where they end."""
    with _opened(instance) as file:
        # logrotate's copytruncate makes the file shorter.
        file.seek(place if place <= file.seek(0, os.SEEK_END) else 0)
        begin = file.tell()
        text, found, _ = file.read(_MOST_BYTES).rpartition(b"\n")
        for line in text.splitlines():
            print_line(line.decode(errors="replace"))
        return begin + len(text) + len(found)
