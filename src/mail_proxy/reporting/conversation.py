"""Report calls to one tenant, made while its claim is held."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from mail_proxy.domain.tenant import Tenant
from mail_proxy.errors import ConstraintViolated, NotFound
from mail_proxy.kit.clock import Clock
from mail_proxy.reporting.call_log import CallLog
from mail_proxy.reporting.pacing import after_answer, after_failure, is_due, put_off_seconds
from mail_proxy.reporting.signing import call_id
from mail_proxy.reporting.sync_client import Call, CallFailed, Report, ReportChannel
from mail_proxy.reporting.terms import Terms
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.messages.events import PendingEvent, is_cut
from mail_proxy.sql.table import Row
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.metrics import MailMetrics
from mail_proxy.wire.reports import SyncAnswer, report_entry, report_payload
from mail_proxy.wire.sync_log import CallOutcome

LatestTenant = Callable[[str], Awaitable[Tenant | None]]


class Conversation:
    """Consecutive report calls to one tenant, until nothing is due at once.

    The reports of a call are acknowledged in the transaction that also extends or ends the claim.
    If the process dies between the tenant's answer and that commit, the same reports are sent
    again when the claim has expired.
    """

    def __init__(
        self,
        db: SqlDb,
        tables: Tables,
        clock: Clock,
        channel: ReportChannel,
        terms: Terms,
        metrics: MailMetrics,
        call_log: CallLog,
    ) -> None:
        self._db = db
        self._sync = tables.tenant_sync
        self._events = tables.events
        self._sync_log = tables.sync_log
        self._clock = clock
        self._channel = channel
        self._terms = terms
        self._metrics = metrics
        self._call_log = call_log

    async def hold(self, tenant: Tenant, latest: LatestTenant, stopping: asyncio.Event) -> bool:
        """Call ``tenant`` if it is due and no other process calls it.

        Returns whether it was called.
        Calls again after a full batch, and if the answer or another request asked for a call at
        once, until ``stopping`` is set. Each call uses the ``latest`` address of the tenant.
        """
        owner, now = self._terms.owner, self._clock.now()
        try:
            sync = await self._db.write(self._sync.claim, tenant.id, owner, now, self._lease(now))
        except ConstraintViolated:
            return False  # the tenant was deleted at this moment
        called = False
        while sync is not None:
            if called:
                tenant = await latest(tenant.id) or tenant
            now = self._clock.now()
            most = self._terms.batch_size
            events = await self._db.read(self._events.unreported, tenant.id, now, most)
            is_ready = self._channel.reaches(tenant) and not stopping.is_set()
            if not is_ready or not is_due(sync, now, bool(events), tenant.active):
                await self._db.write(self._sync.release, owner, tenant.id)
                break
            report = Report(call_id(events), now, _payload(tenant.id, events))
            begun = self._clock.monotonic()
            call = await self._channel.call(tenant, report)
            seconds = self._clock.monotonic() - begun
            called = True
            logged = {"at": now, "seconds": seconds, **_logged(tenant.id, events, call)}
            self._metrics.sync_calls.of(tenant.id, logged["outcome"]).inc()
            url, had_failed = self._channel.url_of(tenant), sync["failures"] > 0
            written = await self._db.write(self._record, sync, events, call.answer, logged)
            retry_at = None if written is None else written["next_due_at"]
            self._call_log.add(tenant.id, url, events, call.answer, retry_at, had_failed=had_failed)
            sync = written if written is not None and written["claimed_by"] else None
        return called

    def _record(
        self,
        connection: Connection,
        claimed: Row,
        events: Sequence[PendingEvent],
        answer: SyncAnswer | CallFailed,
        logged: Row,
    ) -> Row | None:
        """Write the result of a call; return the row, without a claim if that has ended.

        None: the claim was lost, or the tenant is gone.
        """
        now = self._clock.now()
        if isinstance(answer, SyncAnswer):
            self._settle(connection, claimed["tenant_id"], events, answer, now)
        try:
            with self._sync.record(connection, tenant_id=claimed["tenant_id"]) as row:
                self._sync_log.append(connection, logged)
                if row["claimed_by"] != self._terms.owner:
                    return None
                row.update(self._changes(row, claimed, answer, now))
                full = len(events) == self._terms.batch_size or is_cut(events)
                goes_on = isinstance(answer, SyncAnswer) and (full or row["next_due_at"] <= now)
                row["claimed_by"] = self._terms.owner if goes_on else None
                row["claimed_until"] = self._lease(now) if goes_on else None
        except NotFound:
            return None  # the tenant was deleted while it was called
        return dict(row)

    def _changes(self, row: Row, claimed: Row, answer: SyncAnswer | CallFailed, now: float) -> Row:
        interval, chance = self._terms.interval_seconds, self._terms.chance()
        if isinstance(answer, SyncAnswer):
            changes = after_answer(row, answer, now, interval, chance)
        else:
            changes = after_failure(row, answer.reason, now, interval, chance, answer.retry_after)
        if row["next_due_at"] != claimed["next_due_at"]:
            # Another call was requested while this one was in flight.
            changes["next_due_at"] = min(row["next_due_at"], changes["next_due_at"])
        return changes

    def _settle(
        self,
        connection: Connection,
        tenant_id: str,
        events: Sequence[PendingEvent],
        answer: SyncAnswer,
        now: float,
    ) -> None:
        refused = set(answer.error)
        taken = [e for e in events if e.message_id not in refused]
        self._events.acknowledge(connection, tenant_id, taken, now)
        # All events of one message wait for the same time. Otherwise they could change their order.
        attempts: dict[str, int] = {}
        for event in events:
            if event.message_id in refused:
                before = attempts.get(event.message_id, 0)
                attempts[event.message_id] = max(before, event.report_attempts)
        until = {
            id_: now + put_off_seconds(n, self._terms.interval_seconds)
            for id_, n in attempts.items()
        }
        self._events.put_off(
            connection, [(e.seq, until[e.message_id]) for e in events if e.message_id in until]
        )

    def _lease(self, now: float) -> float:
        return now + self._terms.claim_seconds


def _payload(tenant_id: str, events: Sequence[PendingEvent]) -> dict[str, object]:
    return report_payload(
        [
            report_entry(
                tenant_id=tenant_id,
                id=event.message_id,
                pk=event.message_pk,
                account_id=event.account_id,
                event_type=event.event_type,
                event_at=event.event_at,
                data=event.data,
            )
            for event in events
        ]
    )


def _logged(tenant_id: str, events: Sequence[PendingEvent], call: Call) -> Row:
    answer = call.answer
    if isinstance(answer, CallFailed):
        outcome, reason, taken = answer.outcome, answer.reason, 0
    else:
        refused = set(answer.error)
        outcome, reason = CallOutcome.OK, None
        taken = sum(event.message_id not in refused for event in events)
    return {
        "tenant_id": tenant_id,
        "outcome": outcome,
        "status": call.status,
        "error": reason,
        "reports": len(events),
        "acknowledged": taken,
        "bytes_sent": call.bytes_sent,
        "bytes_received": call.bytes_received,
    }
