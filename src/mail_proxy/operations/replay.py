"""Doing again what an export of the audit log tells, in an instance that is empty."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from pydantic import ValidationError

from mail_proxy.domain.tenant import DEFAULT_TENANT
from mail_proxy.errors import Conflict, Malformed, RequestError
from mail_proxy.operations import accounts, instance, suspension, tenants
from mail_proxy.operations.audit import masked
from mail_proxy.operations.operation import Context, Operation, operation, write_audit
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.wire.accounts import AccountIn
from mail_proxy.wire.command_log import LoggedCommand, ReplayedOut
from mail_proxy.wire.instance import InstanceIn
from mail_proxy.wire.messages import explain
from mail_proxy.wire.secrets import MASK
from mail_proxy.wire.tenants import TenantFields, TenantIn


@dataclass(frozen=True)
class Line:
    """A line of an export that is to be done again."""

    number: int
    command: LoggedCommand


@dataclass(frozen=True)
class Replay:
    """An export; ``skipped`` lines tell of what is not repeated."""

    lines: Sequence[Line]
    skipped: int


_Reader = Callable[[Any], Any]
#: What makes tenants and accounts what they are. Keys are secrets: each tenant gets a new one.
_REPEATED: dict[str, tuple[Operation[Any, Any], _Reader]] = {
    tenants.save.name: (tenants.save, TenantIn.model_validate),
    tenants.update.name: (tenants.update, TenantFields.model_validate),
    tenants.delete.name: (tenants.delete, lambda payload: tenants.ForTenant(payload["id"])),
    accounts.save.name: (accounts.save, AccountIn.model_validate),
    accounts.delete.name: (accounts.delete, lambda payload: accounts.AccountRef(payload["id"])),
    suspension.suspend.name: (
        suspension.suspend,
        lambda payload: suspension.BatchRef(payload["batch_code"]),
    ),
    suspension.activate.name: (
        suspension.activate,
        lambda payload: suspension.BatchRef(payload["batch_code"]),
    ),
    instance.update.name: (instance.update, InstanceIn.model_validate),
}


def parse_export(body: bytes) -> Replay:
    """Read JSON lines; Malformed names the line that cannot be understood."""
    lines, skipped = [], 0
    for number, command in _commands(body):
        if command.status == 200 and command.operation in _REPEATED:
            lines.append(Line(number, command))
        else:
            skipped += 1
    return Replay(lines, skipped)


def _commands(body: bytes) -> Iterator[tuple[int, LoggedCommand]]:
    for number, text in enumerate(body.splitlines(), 1):
        if not text.strip():
            continue
        try:
            yield number, LoggedCommand.model_validate(orjson.loads(text))
        except orjson.JSONDecodeError:
            raise Malformed(f"line {number}: not JSON") from None
        except ValidationError as error:
            raise Malformed(f"line {number}: {explain(error)}") from None


@operation("command_log.replay", admin_only=True, mutates=True)
def replay(context: Context, request: Replay) -> ReplayedOut:
    """All lines or none, in one transaction. Conflict unless the instance is empty."""
    _refuse_unless_empty(context)
    for line in request.lines:
        try:
            _repeat(context, line.command)
        except ValidationError as error:
            raise Malformed(f"line {line.number}: {explain(error)}") from None
        except (KeyError, TypeError):
            raise Malformed(f"line {line.number}: its payload is not complete") from None
        except RequestError as error:
            what = f"line {line.number}: {line.command.operation}"
            raise Conflict(f"{what}: {error.message}") from None
    return ReplayedOut(replayed=len(request.lines), skipped=request.skipped)


def _refuse_unless_empty(context: Context) -> None:
    tables, connection = context.tables, context.connection
    names = [row["id"] for row in tables.tenants.select(connection, limit=2)]
    used = names != [DEFAULT_TENANT] or tables.accounts.count(connection, tenant_id=EVERY_TENANT)
    if used:
        raise Conflict("a replay needs an empty instance: no tenant but default, no account")


def _repeat(context: Context, command: LoggedCommand) -> None:
    assert command.operation is not None
    again, read = _REPEATED[command.operation]
    request = read(_usable(command.payload))
    tenant_id = command.tenant_id or DEFAULT_TENANT
    if not again.admin_only:
        context.tables.tenants.get(context.connection, id=tenant_id)
    inner = replace(
        context,
        tenant_id="" if again.admin_only else tenant_id,
        # So that what is made bears the time at which it was made.
        now=command.command_ts,
        about=None,
    )
    again.run(inner, request)
    write_audit(replace(inner, now=context.now), again.name, masked(request))


def _usable(payload: Any) -> Any:
    """Without objects of which the log shows nothing."""
    if isinstance(payload, dict) and payload.get("large_file_config") == MASK:
        return {k: v for k, v in payload.items() if k != "large_file_config"}
    return payload
