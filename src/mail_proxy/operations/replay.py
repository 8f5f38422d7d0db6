"""Operation that runs an exported audit log again, in an empty instance."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import orjson
from pydantic import ValidationError

from mail_proxy.domain.tenant import DEFAULT_TENANT
from mail_proxy.errors import Conflict, Malformed, RequestError, TooLarge
from mail_proxy.kit.side_thread import SideThread
from mail_proxy.operations.audit import write_audit
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.wire.command_log import LoggedCommand, ReplayedOut
from mail_proxy.wire.json_bounds import refuse_too_many_values
from mail_proxy.wire.mistakes import of_validation, sentence

#: Of an export. Lines about queued messages are the largest, and are not run again.
_MOST_LINES = 100_000
#: Of a line. No call that is logged is larger.
_MOST_LINE_BYTES = 4_000_000
_MOST_LINE_VALUES = 12_000
_BESIDE = SideThread("replay")


@dataclass(frozen=True)
class Line:
    """A line of an export."""

    number: int
    command: LoggedCommand


@dataclass(frozen=True)
class Export:
    """Lines of an export that can be run again, in order; the others are counted."""

    lines: Sequence[Line]
    skipped: int


async def read_export(body: bytes | bytearray, replayable: Collection[str]) -> Export:
    """Read JSON lines next to the event loop; ``replayable`` are names of operations.

    Raises Malformed that names the line that cannot be understood, and TooLarge for a line of more
    than 4 MB or 12 000 values, and for more than 100 000 lines that can be run again.
    """
    return await _BESIDE.run(_export, body, replayable)


def _export(body: bytes | bytearray, replayable: Collection[str]) -> Export:
    lines: list[Line] = []
    skipped = 0
    for line in _lines(body):
        if line.command.status != 200 or line.command.operation not in replayable:
            skipped += 1
        elif len(lines) == _MOST_LINES:
            raise TooLarge(f"more than {_MOST_LINES} lines to run again; allowed: {_MOST_LINES}")
        else:
            lines.append(line)
    return Export(lines, skipped)


def _lines(body: bytes | bytearray) -> Iterator[Line]:
    number = start = 0
    while start < len(body):
        number += 1
        found = body.find(b"\n", start)
        end = len(body) if found < 0 else found
        if end - start > _MOST_LINE_BYTES:
            raise TooLarge(f"line {number}: {end - start} bytes; allowed: {_MOST_LINE_BYTES}")
        text = body[start:end]
        start = end + 1
        if text and not text.isspace():
            yield _line(number, text)


def _line(number: int, text: bytes | bytearray) -> Line:
    refuse_too_many_values(text, _MOST_LINE_VALUES)
    try:
        return Line(number, LoggedCommand.model_validate(orjson.loads(text)))
    except orjson.JSONDecodeError:
        raise Malformed(f"line {number}: not JSON") from None
    except ValidationError as error:
        raise Malformed(f"line {number}: {sentence(of_validation(error))}") from None


@operation("command_log.replay", scope=Scope.ADMIN, mutates=True)
def replay(context: Context, request: Export) -> ReplayedOut:
    """Run all replayable lines again, or none, in one transaction.

    Messages are not replayed. Neither are keys: they are secrets, and each tenant gets a new one.
    Raises Conflict unless the instance is empty.
    """
    _refuse_unless_empty(context)
    for line in request.lines:
        try:
            _repeat(context, line.command)
        except ValidationError as error:
            raise Malformed(f"line {line.number}: {sentence(of_validation(error))}") from None
        except RequestError as error:
            place = f"line {line.number}: {line.command.operation}"
            raise Conflict(f"{place}: {error.message}") from None
    return ReplayedOut(replayed=len(request.lines), skipped=request.skipped)


def _refuse_unless_empty(context: Context) -> None:
    tables, connection = context.tables, context.connection
    names = [row["id"] for row in tables.tenants.select(connection, limit=2)]
    used = names != [DEFAULT_TENANT] or tables.accounts.count(connection, tenant_id=EVERY_TENANT)
    if used:
        raise Conflict("a replay needs an empty instance: no tenant except default, no account")


def _repeat(context: Context, command: LoggedCommand) -> None:
    repeated = context.operations[command.operation or ""]
    assert repeated.run is not None
    request = repeated.request.model_validate(command.payload)
    is_admins = repeated.scope is Scope.ADMIN
    tenant_id = command.tenant_id or DEFAULT_TENANT
    if not is_admins:
        context.tables.tenants.get(context.connection, id=tenant_id)
    is_tenants = command.actor == f"tenant:{tenant_id}"
    inner = replace(
        context,
        # A place that a tenant key saved is not the administrator's now.
        caller=Caller(tenant_id) if is_tenants else context.caller,
        tenant_id="" if is_admins else tenant_id,
        # What is created gets the time at which it was created first.
        now=command.command_ts,
        about=None,
    )
    repeated.run(inner, request)
    audited = replace(inner, caller=context.caller, now=context.now)
    write_audit(audited, repeated, request)


ALL = (replay,)
