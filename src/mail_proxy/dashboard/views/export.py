"""Export of messages that match, as CSV or JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from starlette.responses import Response, StreamingResponse

from mail_proxy.dashboard.filters import LineFilter, read_line
from mail_proxy.dashboard.matching import every
from mail_proxy.dashboard.page import Page
from mail_proxy.dashboard.visit import HEADERS, Visit
from mail_proxy.errors import Forbidden
from mail_proxy.wire.messages import MessageOut

#: Messages in one export; a narrower filter gives the others.
_MOST = 100_000
_COLUMNS = (
    *("tenant_id", "id", "status", "account_id", "batch_code", "from", "to", "subject"),
    *("created", "sent", "given_up", "bounced", "error"),
)
#: A spreadsheet reads a text that begins with one of these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def as_csv(visit: Visit) -> Response:
    """Return the messages that match as CSV with a line of names."""
    return await _export(visit, "csv", "text/csv")


async def as_json_lines(visit: Visit) -> Response:
    """Return the messages that match, as the API shows them, one a line."""
    return await _export(visit, "jsonl", "application/jsonl")


async def _export(visit: Visit, kind: str, media_type: str) -> Response:
    if visit.tenant_id is None and not visit.caller.is_admin:
        raise Forbidden("the messages of all tenants are the administrator's")
    wanted = read_line(visit.query("q", 500))
    wanted.query(1, None)
    pieces = _pieces(visit, wanted, kind)
    # An error of the first page still has its own status.
    first = await anext(pieces)
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="messages.{kind}"'}
    return StreamingResponse(_with(first, pieces), 200, headers, f"{media_type}; charset=utf-8")


async def _with(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for piece in rest:
        yield piece


async def _pieces(visit: Visit, wanted: LineFilter, kind: str) -> AsyncIterator[str]:
    head = _rows([_COLUMNS]) if kind == "csv" else ""
    async for found in every(visit, wanted, visit.tenant_id, _MOST):
        if kind == "csv":
            yield head + _rows(map(_cells, found))
        else:
            yield "".join(f"{message.model_dump_json(by_alias=True)}\n" for message in found)
        head = ""


def _rows(rows: object) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)  # type: ignore[arg-type]
    return text.getvalue()


def _cells(message: MessageOut) -> tuple[str, ...]:
    cells = (
        *(message.tenant_id, message.id, message.status, message.account_id),
        *(message.batch_code or "", message.sender),
        " ".join((*message.to, *message.cc, *message.bcc)),
        message.subject,
        *(_time(message.created_ts), _time(message.sent_ts)),
        *(_time(message.error_ts), _time(message.bounce_ts)),
        message.error or message.bounce_reason or "",
    )
    return tuple(f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells)


def _time(instant: int | None) -> str:
    return "" if instant is None else f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%dT%H:%M:%SZ}"


PAGES = (
    Page("GET", "/messages.csv", as_csv),
    Page("GET", "/messages.jsonl", as_json_lines),
    Page("GET", "/t/{tenant}/messages.csv", as_csv),
    Page("GET", "/t/{tenant}/messages.jsonl", as_json_lines),
)
