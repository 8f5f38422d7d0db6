"""What commands print: data to stdout, talk to stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.status import Status
from rich.table import Table
from rich.text import Text

#: Width of tables that go to a file or another program, where nothing needs to fit a screen.
_WIDE = 240
#: Before the host, or as a parameter, which libpq knows too.
_PASSWORD = re.compile(r"(?<=//)(?P<user>[^:/@]*:).*(?=@)|(?<=[?&]password=)[^&]*")


def talk(text: str = "") -> None:
    """One line for the person who runs the command; may use rich's markup."""
    # Not wrapped: commands in it are meant to be copied.
    _console(stderr=True).print(text, soft_wrap=True, highlight=False)


def complain(text: str) -> None:
    talk(f"[bold red]Error:[/] {escape(text)}")


def waiting(text: str) -> Status:
    """Shows that the command waits; on anything but a terminal it says so once."""
    console = _console(stderr=True)
    if not console.is_terminal:
        talk(escape(text))
    return console.status(escape(text))


@contextmanager
def progressing(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar, moved by a call with what is done and what there is; nothing but on a terminal."""
    console = _console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(escape(text), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    _console().print(table)


def print_facts(facts: Iterable[tuple[str, str | Text]]) -> None:
    """Names and values, one a line."""
    table = Table.grid(padding=(0, 2))
    for name, value in facts:
        table.add_row(Text(name, "dim"), _cell(value))
    _console().print(table)


def without_password(db_path: str) -> str:
    """The database as it may be shown, also where the URL is not written as it should be."""
    return _PASSWORD.sub(lambda found: f"{found['user'] or ''}***", db_path)


def _cell(value: str | Text) -> Text:
    # As Text, because square brackets in a plain string would be read as markup.
    return Text(value) if isinstance(value, str) else value


def _console(stderr: bool = False) -> Console:
    # Made for each use: streams may have been replaced since the last one.
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _WIDE)
