"""Suppression lists as CSV (RFC 4180), with mistakes named by line."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from pydantic import TypeAdapter, ValidationError

from mail_proxy.errors import Malformed, TooLarge
from mail_proxy.wire.fields import Identifier, OneLine
from mail_proxy.wire.instants import instant
from mail_proxy.wire.mistakes import of_validation, sentence
from mail_proxy.wire.suppressions import (
    MailAddress,
    SuppressionMistake,
    SuppressionOut,
    SuppressionReason,
)

COLUMNS = ("tenant_id", "address", "reason", "since_ts", "detail", "message_id")
_MOST_LINES = 100_000
_MOST_FIELD, _MOST_DETAIL = 4_000, 500
_MOST_NAMED = 20
#: Titles of the first column in the lists of other services.
_ADDRESS_TITLES = frozenset({"address", "email", "e-mail", "email_address", "recipient"})
#: A spreadsheet would take a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ADDRESS: TypeAdapter[str] = TypeAdapter(MailAddress)
_ID: TypeAdapter[str] = TypeAdapter(Identifier)
_LINE: TypeAdapter[str] = TypeAdapter(OneLine)


@dataclass(frozen=True, slots=True)
class CsvEntry:
    """A line of the list. ``since`` is in Unix seconds; None stands for now."""

    address: str
    reason: SuppressionReason
    since: float | None
    detail: str | None
    message_id: str | None
    tenant_id: str | None


@dataclass(frozen=True, slots=True)
class CsvList:
    """A list that was read: the good lines, and the first mistakes of the others."""

    entries: Sequence[CsvEntry]
    mistakes: Sequence[SuppressionMistake]
    rejected: int


def read_list(body: bytes | bytearray) -> CsvList:
    """Read a list; lines with a mistake are left out and named.

    The first line may name the columns; without it, the first column is the address. The
    separator is a comma, a semicolon or a tab. Raises Malformed if nothing can be read at all.
    Takes seconds for a long list; not for the event loop.
    """
    try:
        text = bytes(body).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Malformed("the list is not UTF-8") from None
    entries: list[CsvEntry] = []
    mistakes: list[SuppressionMistake] = []
    rejected = 0
    for number, row in _rows(text):
        try:
            entries.append(_entry(row))
        except ValueError as error:
            rejected += 1
            if len(mistakes) < _MOST_NAMED:
                mistakes.append(SuppressionMistake(line=number, reason=_words(error)))
    return CsvList(entries, mistakes, rejected)


def write_rows(found: Iterable[SuppressionOut], *, titles: bool) -> str:
    """Return lines of a list, with the line of titles first if it is wanted."""
    lines = StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    if titles:
        writer.writerow(COLUMNS)
    for one in found:
        cells = (getattr(one, name) for name in COLUMNS)
        writer.writerow("" if cell is None else _harmless(str(cell)) for cell in cells)
    return lines.getvalue()


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each line and its cells by column."""
    first = text.partition("\n")[0]
    separator = next((c for c in first if c in ",;\t"), ",")
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator)
    columns: Sequence[str] = ("address",)
    try:
        for count, row in enumerate(reader):
            if count >= _MOST_LINES:
                raise TooLarge(f"the list has too many lines; allowed: {_MOST_LINES}")
            if count == 0 and row and "@" not in row[0]:
                columns = _columns(row)
            elif any(cell.strip() for cell in row):
                yield reader.line_num, dict(zip(columns, row, strict=False))
    except csv.Error as error:
        raise Malformed(f"line {reader.line_num}: {error}") from None


def _columns(titles: Sequence[str]) -> list[str]:
    named = [title.strip().lower() for title in titles]
    columns = ["address" if name in _ADDRESS_TITLES else name for name in named]
    wrong = [name for name in columns if name not in COLUMNS]
    if wrong or "address" not in columns:
        what = f"unknown column {wrong[0][:40]!r}" if wrong else "no column address"
        raise Malformed(f"line 1: {what}; allowed: {', '.join(COLUMNS)}")
    return columns


def _entry(row: dict[str, str]) -> CsvEntry:
    if any(len(cell) > _MOST_FIELD for cell in row.values()):
        raise ValueError(f"a cell is too long; allowed: {_MOST_FIELD} characters")
    cells = {name: _plain(cell.strip()) for name, cell in row.items()}
    reason = cells.get("reason") or SuppressionReason.MANUAL
    if reason not in list(SuppressionReason):
        raise ValueError(f"reason: allowed: {', '.join(SuppressionReason)}")
    since, message_id = cells.get("since_ts"), cells.get("message_id")
    return CsvEntry(
        _ADDRESS.validate_python(cells.get("address", "")),
        SuppressionReason(reason),
        instant(since) if since else None,
        _LINE.validate_python(cells.get("detail", ""))[:_MOST_DETAIL] or None,
        _ID.validate_python(message_id) if message_id else None,
        cells.get("tenant_id") or None,
    )


def _words(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return sentence(of_validation(error)) or "is not understood"
    return str(error)


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
