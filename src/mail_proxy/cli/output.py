"""Output of commands: data to stdout, messages for the user to stderr."""

from __future__ import annotations

import csv
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, OverflowMethod
from rich.markup import escape
from rich.progress import Progress
from rich.status import Status
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from pydantic import BaseModel

#: Width of tables that go to a file or another program.
_WIDE = 240
#: Rows of a table from which on it is printed line by line.
_LONG = 500
#: Columns up to this width are never cut.
_WIDEST_FIXED = 40
_NARROWEST_FREE = 6
#: Characters between two columns, and at the edges.
_BETWEEN = 3
#: Passwords in a database URL: before the host, or as a parameter of libpq.
_PASSWORD = re.compile(r"(?<=//)(?P<user>[^:/@]*:).*(?=@)|(?<=[?&]password=)[^&]*")


def printable(text: str) -> str:
    """Escape every character that could control a terminal, as JSON does: ``\\u009b``.

    Line breaks and tabs stay. Addresses, subjects and answers of servers come from strangers.
    """
    if text.replace("\n", "").isprintable():
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
    try:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:  # a lone surrogate, or a large number
        text = json.dumps(value, indent=2)
    print_line(text)


def print_model(value: BaseModel) -> None:
    """Print an answer of the service as the service gives it."""
    print_json(value.model_dump(mode="json", by_alias=True))


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    cut: Collection[str] = (),
    wrapped: Collection[str] = (),
) -> None:
    """Print a table.

    On a terminal that is too narrow, the columns in ``cut`` end with an ellipsis, and those in
    ``wrapped`` go on in the next line.
    """
    listed = list(rows)
    if len(listed) > _LONG:
        _print_long_table(columns, listed, {*cut, *wrapped})
    else:
        _console().print(made_table(columns, listed, cut=cut, wrapped=wrapped))


def made_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    cut: Collection[str] = (),
    wrapped: Collection[str] = (),
) -> Table:
    """Return the table that ``print_table`` prints."""
    cells = [[_cell(value) for value in row] for row in rows]
    longest = [
        max([len(title), *(row[place].cell_len for row in cells)])
        for place, title in enumerate(columns)
    ]
    is_free = [title in cut or title in wrapped for title in columns]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title, width in zip(columns, _widths(longest, is_free, _console().width), strict=True):
        is_wrapped = title in wrapped
        overflow: OverflowMethod = "fold" if is_wrapped else "ellipsis"
        table.add_column(title, no_wrap=not is_wrapped, overflow=overflow, width=width)
    for row in cells:
        table.add_row(*row)
    return table


def _print_long_table(
    columns: Sequence[str], rows: Sequence[Sequence[str | Text]], free: Collection[str]
) -> None:
    """Print a table of many rows, for which rich takes a millisecond each."""
    cells = [[printable(str(value)).replace("\n", " ") for value in row] for row in rows]
    longest = [max(map(_width, column)) for column in zip(columns, *cells, strict=True)]
    widths = _widths(longest, [title in free for title in columns], _console().width)
    rule = ["─" * width for width in widths]
    for line in ([*columns], rule, *cells):
        fitted = (
            cell.ljust(width) if cell.isascii() and len(cell) <= width else _fitted(cell, width)
            for cell, width in zip(line, widths, strict=True)
        )
        sys.stdout.write(f" {'   '.join(fitted)}".rstrip() + "\n")


def _width(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def _fitted(text: str, width: int) -> str:
    """Return a text with exactly this many cells of a terminal, cut with an ellipsis."""
    if _width(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…"


def _widths(longest: Sequence[int], is_free: Sequence[bool], terminal: int) -> list[int]:
    """Return the widths of columns; free ones share the room that the others leave."""
    fixed = [min(width, _WIDEST_FIXED) for width in longest]
    room = terminal - _BETWEEN * len(longest)
    taken = sum(width for width, free in zip(fixed, is_free, strict=True) if not free)
    wanted = sum(width for width, free in zip(longest, is_free, strict=True) if free)
    if wanted <= room - taken:
        return [w if free else f for w, f, free in zip(longest, fixed, is_free, strict=True)]
    share = max(0, room - taken) / max(1, wanted)
    return [
        max(_NARROWEST_FREE, int(width * share)) if free else kept
        for width, kept, free in zip(longest, fixed, is_free, strict=True)
    ]


def print_rows(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    models: Sequence[BaseModel],
    *,
    as_json: bool,
    as_csv: bool,
    cut: Collection[str] = (),
) -> None:
    """Print a listing: as JSON the ``models``, else the ``rows`` as CSV or as a table."""
    if as_json:
        print_json([model.model_dump(mode="json", by_alias=True) for model in models])
    elif as_csv:
        print_csv([title.lower() for title in columns], rows)
    elif models:
        print_table(columns, rows, cut=cut)


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print lines of comma-separated values (RFC 4180), the titles first."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def moment(seconds: float | None) -> str:
    """Return an instant (Unix seconds) in local time; an empty text for None."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


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
