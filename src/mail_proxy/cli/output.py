"""Output of commands: data to stdout, messages for the user to stderr."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
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

#: Width of tables that go to a file or another program.
_WIDE = 240
#: Passwords in a database URL: before the host, or as a parameter of libpq.
_PASSWORD = re.compile(r"(?<=//)(?P<user>[^:/@]*:).*(?=@)|(?<=[?&]password=)[^&]*")


def printable(text: str) -> str:
    """Escape every character that could control a terminal, as JSON does: ``\\u009b``.

    Line breaks and tabs stay. Addresses, subjects and answers of servers come from strangers.
    """
    if text.isprintable():
        return text
    return "".join(c if _is_harmless(c) else json.dumps(c)[1:-1] for c in text)


def print_line(text: str) -> None:
    """Print a line of text to stdout."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def talk(text: str = "") -> None:
    """Print a message for the user to stderr; ``text`` may use rich's markup."""
    # Not wrapped, so that commands in it can be copied.
    _console(stderr=True).print(printable(text), soft_wrap=True, highlight=False)


def complain(text: str) -> None:
    talk(f"[bold red]Error:[/] {escape(text)}")


def waiting(text: str) -> Status:
    """Return a spinner with ``text``. If stderr is no terminal, print ``text`` once."""
    console = _console(stderr=True)
    if not console.is_terminal:
        talk(escape(text))
    return console.status(escape(printable(text)))


@contextmanager
def progressing(text: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on a terminal; yield ``update(done, total)``."""
    console = _console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(escape(printable(text)), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def print_json(value: Any) -> None:
    print_line(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    _console().print(table)


def print_facts(facts: Iterable[tuple[str, str | Text]]) -> None:
    """Print names and values, one pair per line."""
    table = Table.grid(padding=(0, 2))
    for name, value in facts:
        table.add_row(Text(name, "dim"), _cell(value))
    _console().print(table)


def without_password(db_path: str) -> str:
    """Replace passwords in a database URL by ``***``, also in a malformed URL."""
    return _PASSWORD.sub(lambda found: f"{found['user'] or ''}***", db_path)


def _cell(value: str | Text) -> Text:
    # As Text, because rich would read square brackets in a plain string as markup.
    return Text(printable(value)) if isinstance(value, str) else value


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"


def _console(stderr: bool = False) -> Console:
    # Made for each use, because sys.stdout or sys.stderr may have been replaced.
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _WIDE)
