"""Audit entries of refused calls: failed log-ins, and calls out of scope."""

from __future__ import annotations

from typing import Any

import orjson

from mail_proxy.errors import DatabaseUnavailable, RequestError
from mail_proxy.kit.clock import Clock
from mail_proxy.operations.audit import audit_row
from mail_proxy.operations.callers import Caller
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.table import Row
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.log import Action, log

#: Guessing must not fill the disk. At most 2400 entries a day for each actor: about 50 MB in the 90
#: days of the default retention. All callers who fail to log in are one actor.
_AT_ONCE = 1000
_EACH_SECOND = 100 / 3600
_LONGEST_PAYLOAD = 16_384


class _Allowance:
    """A token bucket of audit entries for one actor."""

    def __init__(self, now: float) -> None:
        self._left = float(_AT_ONCE)
        self._since = now
        self.left_out = 0

    def take(self, now: float) -> bool:
        self._left = min(_AT_ONCE, self._left + (now - self._since) * _EACH_SECOND)
        self._since = now
        if self._left < 1:
            self.left_out += 1
            return False
        self._left -= 1
        return True


class AuditedRefusals:
    """Records failed log-ins (401) and calls out of scope (403), in a bounded number."""

    def __init__(self, db: SqlDb, tables: Tables, clock: Clock) -> None:
        self._db = db
        self._tables = tables
        self._clock = clock
        self._allowances: dict[str, _Allowance] = {}

    async def record(
        self,
        caller: Caller,
        error: RequestError,
        operation: str | None = None,
        tenant_id: str | None = None,
        payload: Any = None,
    ) -> None:
        """Write an entry, unless the actor has had too many.

        The next entry that is written says how many are missing. ``payload`` must be redacted
        already. If the database is not available, the entry is lost and the caller sees no
        difference.
        """
        now = self._clock.monotonic()
        allowance = self._allowances.setdefault(caller.actor, _Allowance(now))
        if not allowance.take(now):
            return
        reason = error.message
        if allowance.left_out:
            reason += f" ({allowance.left_out} like this are not shown)"
            allowance.left_out = 0
        row = audit_row(caller, operation, self._clock.now(), tenant_id, _bounded(payload))
        row.update(status=error.http_status, error=reason)
        status = error.http_status
        log(Action.CALL_REFUSED, status=status, actor=caller.actor, address=caller.address)
        try:
            await self._db.write(self._insert, row)
        except DatabaseUnavailable as unavailable:
            log(Action.AUDIT_LOST, reason=unavailable.message)

    def _insert(self, connection: Connection, row: Row) -> None:
        self._tables.command_log.insert(connection, row)


def _bounded(payload: Any) -> Any:
    size = len(orjson.dumps(payload))
    return payload if size <= _LONGEST_PAYLOAD else {"left_out_bytes": size}
