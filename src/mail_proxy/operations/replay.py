"""Operation that runs an exported audit log again, in an empty instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from pydantic import ValidationError

from mail_proxy.domain.tenant import DEFAULT_TENANT
from mail_proxy.errors import Conflict, Malformed, RequestError
from mail_proxy.operations.audit import write_audit
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.operation import Context, Operation, Scope, operation
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.wire.command_log import LoggedCommand, ReplayedOut
from mail_proxy.wire.mistakes import of_validation, sentence


@dataclass(frozen=True)
class Line:
    """A line of an export."""

    number: int
    command: LoggedCommand


@dataclass(frozen=True)
class Export:
    """All lines of an export, in order."""

    lines: Sequence[Line]


@dataclass(frozen=True)
class Replayed:
    """The lines that were run again, for the audit log, and the number of the others."""

    lines: Sequence[Line]
    skipped: int


def parse_export(body: bytes) -> Export:
    """Read JSON lines; raises Malformed that names the line that cannot be understood."""
    return Export(list(_lines(body)))


def _lines(body: bytes) -> Iterator[Line]:
    for number, text in enumerate(body.splitlines(), 1):
        if not text.strip():
            continue
        try:
            yield Line(number, LoggedCommand.model_validate(orjson.loads(text)))
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
    lines = [line for line in request.lines if _is_replayable(line.command, context.operations)]
    for line in lines:
        try:
            _repeat(context, line.command)
        except ValidationError as error:
            raise Malformed(f"line {line.number}: {sentence(of_validation(error))}") from None
        except RequestError as error:
            place = f"line {line.number}: {line.command.operation}"
            raise Conflict(f"{place}: {error.message}") from None
    skipped = len(request.lines) - len(lines)
    context.audited = Replayed(lines, skipped)
    return ReplayedOut(replayed=len(lines), skipped=skipped)


def _is_replayable(command: LoggedCommand, operations: Mapping[str, Operation[Any, Any]]) -> bool:
    found = operations.get(command.operation or "")
    return command.status == 200 and found is not None and found.replayable


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
