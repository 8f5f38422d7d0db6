"""Delete expired rows: reported messages, audit entries, rate counters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from mail_proxy.kit.clock import Clock
from mail_proxy.kit.worker import Worker
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.chunks import ChunkedWork
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.messages.give_up import GivenUpMessages
from mail_proxy.sql.messages.purge import MessagePurge, Position
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.log import Action, ServiceAction, log

_MINUTE = 60.0
_TEN_MINUTES = 600.0
_HOUR = 3600.0
_DAY = 86_400.0
#: A mail that is put back into a mailbox after this time would be handled again.
_INBOUND_DAYS = 90
_DELETED = "account deleted"
#: A report may be committed this much later than its own time, and by hosts whose clocks differ.
#: So each walk begins this far behind the end of the last one.
_SETTLING_SECONDS = 600.0


@dataclass(frozen=True)
class Duty:
    """Regular work on the database. ``work`` returns the number of changed rows."""

    name: str
    interval_seconds: float
    work: Callable[[], Awaitable[int]]


class Retention:
    """Service that runs each regular duty in a loop of its own.

    Any number of processes may run it on one database.
    """

    name = "retention"

    def __init__(
        self,
        db: SqlDb,
        tables: Tables,
        directory: Directory,
        clock: Clock,
        most_audit_rows: int,
        duties: Sequence[Duty] = (),
    ) -> None:
        """Add ``duties`` of features to the ones of this module.

        Of the calls with a tenant's key, the newest ``most_audit_rows`` stay in the audit log.
        """
        self._most_audit_rows = most_audit_rows
        self._tables = tables
        self._directory = directory
        self._clock = clock
        self._db = db
        self._removal = MessagePurge(db)
        self._passed: dict[str, Position] = {}
        self._passed_since = clock.monotonic()
        self.duties = (
            Duty("messages", _MINUTE, self.remove_messages),
            Duty("audit", _HOUR, self.remove_audit_rows),
            Duty("audit_quota", _TEN_MINUTES, self.remove_audit_rows_beyond_the_quota),
            Duty("orphans", _MINUTE, self.end_orphans),
            Duty("rates", _HOUR, self.remove_rate_counters),
            Duty("counts", _HOUR, self.remove_hourly_counts),
            Duty("inbound", _HOUR, self.remove_inbound_mails),
            *duties,
        )
        self._workers = [
            Worker(f"retention.{duty.name}", partial(self._round, duty)) for duty in self.duties
        ]

    @property
    def alive(self) -> bool:
        """True if every retention loop runs."""
        return all(worker.alive for worker in self._workers)

    async def start(self) -> None:
        """Start the loop of each duty."""
        for worker in self._workers:
            worker.start()

    async def stop(self, deadline: float) -> None:
        """Stop at once. A transaction that has begun still ends as a whole."""
        for worker in self._workers:
            await worker.stop()

    async def remove_messages(self) -> int:
        """Remove finished messages whose last report is older than the retention time.

        Each walk over the messages goes on from the end of the last one. Messages that it passed
        were not finished or not wholly reported, and come again with a later report. Once a day it
        starts from the beginning, because clocks may be set back.
        """
        if self._clock.monotonic() - self._passed_since > _DAY:
            self._passed.clear()
            self._passed_since = self._clock.monotonic()
        now, removed = self._clock.now(), 0
        kept_seconds = self._directory.snapshot.queue.report_retention_seconds
        for tenant_id, before in await self._removal.tenants(now, kept_seconds):
            after = self._passed.get(tenant_id)
            gone, reached = await self._removal.messages(tenant_id, before, after)
            self._passed[tenant_id] = min(reached, Position(now - _SETTLING_SECONDS))
            removed += gone
        return removed

    async def remove_audit_rows(self) -> int:
        """Remove rows of the audit log that are older than ``audit_retention_days``."""
        before = self._clock.now() - self._directory.snapshot.queue.audit_retention_days * _DAY

        def remove(connection: Connection, most: int) -> int:
            return self._tables.command_log.remove_oldest(connection, before, most)

        return await ChunkedWork(self._db).all(remove)

    async def remove_audit_rows_beyond_the_quota(self) -> int:
        """Remove a tenant's oldest calls from the audit log if it has too many."""
        log_table, most_rows = self._tables.command_log, self._most_audit_rows
        slices, removed = ChunkedWork(self._db), 0
        for tenant_id in await self._db.read(log_table.with_more_than, most_rows):

            def remove(connection: Connection, most: int, tenant_id: str = tenant_id) -> int:
                return log_table.remove_beyond(connection, tenant_id, most_rows, most)

            removed += await slices.all(remove)
        return removed

    async def end_orphans(self) -> int:
        """Give up messages that were added for an account while it was being removed."""
        ended, now = self._tables.given_up, self._clock.now()
        orphaned = await self._db.read(ended.orphaned)
        slices, total = ChunkedWork(self._db), 0
        for account_pk, tenant_id, account_id in orphaned:
            count = await slices.all(partial(_end, ended, account_pk, now))
            total += count
            if count:
                log(
                    Action.MESSAGES_GIVEN_UP,
                    tenant_id=tenant_id,
                    account_id=account_id,
                    messages=count,
                    reason=_DELETED,
                )
        return total

    async def remove_rate_counters(self) -> int:
        """Remove rate counters that are older than the window of every rate limit."""
        return await self._db.write(self._tables.rate_use.prune, self._clock.now())

    async def remove_hourly_counts(self) -> int:
        """Remove counters older than ``stats_retention_days``; fold those of past hours.

        Returns the number of removed rows.
        """
        counts, now, slices = self._tables.counts, self._clock.now(), ChunkedWork(self._db)
        await slices.all(lambda connection, most: counts.fold(connection, now, most))
        before = now - self._directory.snapshot.queue.stats_retention_days * _DAY
        return await slices.all(lambda connection, most: counts.prune(connection, before, most))

    async def remove_inbound_mails(self) -> int:
        """Forget mails of watched mailboxes that were handled long ago."""
        before = self._clock.now() - _INBOUND_DAYS * _DAY

        def prune(connection: Connection, most: int) -> int:
            return self._tables.mailboxes.prune(connection, before, most)

        return await ChunkedWork(self._db).all(prune)

    async def _round(self, duty: Duty) -> None:
        await asyncio.sleep(duty.interval_seconds)
        rows = await duty.work()
        if rows:
            log(ServiceAction.RETENTION_DONE, duty=duty.name, rows=rows)


def _end(
    ended: GivenUpMessages, account_pk: str, now: float, connection: Connection, most: int
) -> int:
    return ended.of_account(connection, account_pk, _DELETED, now, most)
