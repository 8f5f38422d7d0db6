"""The single door: scope, transaction, audit row, then the effects on the outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from mail_proxy.config import ProxyConfig, QueueConfig
from mail_proxy.errors import ConstraintViolated, Forbidden, NotFound
from mail_proxy.kit.bus import Bus, Fact
from mail_proxy.kit.clock import Clock
from mail_proxy.operations.audit import audit_row, masked
from mail_proxy.operations.audit_refusals import AuditedRefusals
from mail_proxy.operations.callers import Caller
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables

Request = TypeVar("Request")
Answer = TypeVar("Answer")


@dataclass
class Context:
    """What an operation works with, inside its transaction.

    ``tenant_id`` is the tenant that the call is about and that every query must name; it is
    empty for operations of the administrator; such a one sets ``about``, for the audit log, where
    it is about a single tenant. ``queue`` are the settings that may change at run time.
    ``after_commit`` collects the facts that are published after the commit.
    """

    connection: Connection
    tables: Tables
    caller: Caller
    tenant_id: str
    now: float
    config: ProxyConfig
    queue: QueueConfig
    about: str | None = None
    after_commit: list[Fact] = field(default_factory=list)


@dataclass(frozen=True)
class Operation(Generic[Request, Answer]):
    """One thing that can be asked for, by its name."""

    name: str
    admin_only: bool
    mutates: bool
    run: Callable[[Context, Request], Answer]


def operation(
    name: str, *, admin_only: bool = False, mutates: bool = False
) -> Callable[[Callable[[Context, Request], Answer]], Operation[Request, Answer]]:
    """Make an operation of a function that runs inside a transaction.

    What mutates runs on the writing side and leaves an audit row in the same transaction.
    """

    def decorate(run: Callable[[Context, Request], Answer]) -> Operation[Request, Answer]:
        return Operation(name, admin_only, mutates, run)

    return decorate


class Door:
    """Where REST, the command line, the client library and ``handle_command`` come in."""

    def __init__(
        self,
        db: SqlDb,
        tables: Tables,
        directory: Directory,
        config: ProxyConfig,
        bus: Bus,
        clock: Clock,
        refusals: AuditedRefusals,
    ) -> None:
        self._db = db
        self._tables = tables
        self._directory = directory
        self._config = config
        self._bus = bus
        self._clock = clock
        self._refusals = refusals

    async def call(
        self,
        operation: Operation[Request, Answer],
        caller: Caller,
        request: Request,
        tenant_id: str | None = None,
    ) -> Answer:
        """Run an operation for a caller, about one tenant where it is about one.

        Raises Forbidden out of scope, NotFound for a tenant that does not exist, and what
        the operation raises; then nothing was changed. What is forbidden is in the audit log.
        """
        try:
            about = await self._about(operation, caller, tenant_id)
            run = partial(
                self._transact, operation=operation, caller=caller, request=request, tenant_id=about
            )
            answer, after = await (self._write if operation.mutates else self._db.read)(run)
        except Forbidden as error:
            target = tenant_id or caller.tenant_id
            await self._refusals.note(caller, error, operation.name, target, masked(request))
            raise
        for fact in after:
            self._bus.publish(fact)
        return answer

    async def _write(self, run: Callable[[Connection], Answer]) -> Answer:
        try:
            return await self._db.write(run)
        except ConstraintViolated:
            # Another process was faster, and what it wrote is seen now.
            return await self._db.write(run)

    async def _about(
        self, operation: Operation[Any, Any], caller: Caller, tenant_id: str | None
    ) -> str:
        if operation.admin_only:
            if not caller.is_admin:
                raise Forbidden("this needs the admin token")
            return ""
        snapshot = await self._directory.current()
        about = caller.reach(tenant_id, snapshot)
        if about not in snapshot.tenants:
            raise NotFound("no such tenant")
        return about

    def _transact(
        self,
        connection: Connection,
        operation: Operation[Request, Answer],
        caller: Caller,
        request: Request,
        tenant_id: str,
    ) -> tuple[Answer, list[Fact]]:
        context = Context(
            connection=connection,
            tables=self._tables,
            caller=caller,
            tenant_id=tenant_id,
            now=self._clock.now(),
            config=self._config,
            queue=self._directory.snapshot.queue,
        )
        answer = operation.run(context, request)
        if operation.mutates:
            write_audit(context, operation.name, masked(request))
        return answer, context.after_commit


def write_audit(context: Context, name: str, payload: Any) -> None:
    """One row of the audit log, in the transaction of what it tells about."""
    about = context.about or context.tenant_id or None
    row = audit_row(context.caller, name, context.now, about, payload)
    context.tables.command_log.insert(context.connection, row)
