"""The single door: scope, transaction, audit row, and work after the commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from mail_proxy.config import QueueConfig
from mail_proxy.errors import ConstraintViolated, Forbidden, NotFound
from mail_proxy.kit.bus import Fact
from mail_proxy.operations.audit import write_audit
from mail_proxy.operations.audit_refusals import AuditedRefusals
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.operation import Answer, Batch, Context, Operation, Request, Scope
from mail_proxy.operations.parts import Parts
from mail_proxy.operations.read_shares import ReadShares
from mail_proxy.sql import Connection
from mail_proxy.telemetry.log import Action, log


class Door:
    """Single door through which REST, CLI and ``handle_command`` run operations."""

    def __init__(
        self, operations: Sequence[Operation[Any, Any]], parts: Parts, refusals: AuditedRefusals
    ) -> None:
        self.operations = {operation.name: operation for operation in operations}
        self._parts = parts
        self._refusals = refusals
        self._shares = ReadShares()
        self._batches: dict[str, Batch[Any, Any]] = {
            operation.name: operation.batch(parts) for operation in operations if operation.batch
        }

    @property
    def queue(self) -> QueueConfig:
        """The settings that may change at run time, as they are in effect."""
        return self._parts.directory.snapshot.queue

    async def call(
        self,
        operation: Operation[Request, Answer],
        caller: Caller,
        request: Request,
        tenant_id: str | None = None,
    ) -> Answer:
        """Run an operation for a caller; ``tenant_id`` is the tenant of the call.

        Raises Forbidden out of scope, NotFound for a tenant that does not exist, and the
        operation's own errors; then its transaction has changed nothing. A forbidden call is
        written to the audit log.
        """
        batch = self._batches.get(operation.name)
        facts: Sequence[Fact] = ()
        try:
            if batch is not None:
                order = await batch.call(caller, request)
            else:
                order, facts = await self._run(operation, caller, request, tenant_id)
        except Forbidden as error:
            target, shown = tenant_id or caller.tenant_id, operation.shown(request)
            await self._refusals.record(caller, error, operation.name, target, shown)
            raise
        for fact in facts:
            self._parts.bus.publish(fact)
        return order if operation.then is None else await operation.then(self._parts, order)

    def begin(
        self, operation: Operation[Request, Answer], caller: Caller, request: Request
    ) -> asyncio.Future[Answer | None] | None:
        """Begin a call if it waits for nothing but its commit; else return None.

        None stands for every call that has to be made with ``call``: nothing was done. So does the
        future's result if it is None. Raises Forbidden, which is not written to the audit log.
        """
        return self._batches[operation.name].begin(caller, request)

    async def drained(self) -> None:
        """Wait until every batched call that has begun is committed."""
        for batch in self._batches.values():
            await batch.drained()

    async def _run(
        self,
        operation: Operation[Any, Any],
        caller: Caller,
        request: Any,
        tenant_id: str | None,
    ) -> tuple[Any, list[Fact]]:
        about = await self._tenant_of(operation, caller, tenant_id)
        if operation.before is not None:
            request = await operation.before(self._parts, about, request)
        work = partial(self._transact, operation, caller, request, about)
        if not operation.mutates:
            async with self._shares.turn(about):
                return await self._parts.db.read(work)
        try:
            done = await self._parts.db.write(work)
        except ConstraintViolated:
            # Another process was faster. The second attempt sees what it wrote.
            done = await self._parts.db.write(work)
        log(
            Action.CALL_DONE,
            operation=operation.name,
            tenant_id=about or None,
            actor=caller.actor,
            address=caller.address,
        )
        return done

    async def _tenant_of(
        self, operation: Operation[Any, Any], caller: Caller, tenant_id: str | None
    ) -> str:
        if operation.scope is Scope.ADMIN:
            if not caller.is_admin:
                raise Forbidden("this needs the admin token")
            return ""
        if operation.scope is Scope.TENANT_OR_ALL and caller.is_admin and tenant_id is None:
            return ""
        snapshot = await self._parts.directory.current()
        about = caller.reach(tenant_id, snapshot)
        if about not in snapshot.tenants:
            raise NotFound("no such tenant")
        return about

    def _transact(
        self,
        operation: Operation[Any, Any],
        caller: Caller,
        request: Any,
        tenant_id: str,
        connection: Connection,
    ) -> tuple[Any, list[Fact]]:
        assert operation.run is not None
        context = Context(
            connection=connection,
            tables=self._parts.tables,
            caller=caller,
            tenant_id=tenant_id,
            now=self._parts.clock.now(),
            config=self._parts.config,
            queue=self.queue,
            operations=self.operations,
        )
        order = operation.run(context, request)
        if operation.mutates:
            write_audit(context, operation, request)
        return order, context.facts
