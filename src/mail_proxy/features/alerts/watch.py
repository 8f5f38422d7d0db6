"""Service that reports lasting troubles to a person, and when they are over."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.features.alerts.channels import Channel, channels_of
from mail_proxy.features.alerts.table import AlertsTable, is_due
from mail_proxy.kit.ids import uuid7
from mail_proxy.kit.liveness import has_ended, process_mark, process_space
from mail_proxy.kit.service import seconds_until
from mail_proxy.kit.worker import Worker
from mail_proxy.operations.attention import attention_list, find_troubles
from mail_proxy.operations.parts import Parts
from mail_proxy.sql.table import Row
from mail_proxy.telemetry.log import Action, log
from mail_proxy.wire.alerts import AlertCall, AlertOut

_CLAIM = "alerts"
#: Longer than a look takes: a mail has several steps of ten seconds, a call thirty.
_CLAIM_SECONDS = 120.0
_SHORTEST_INTERVAL_SECONDS, _LONGEST_INTERVAL_SECONDS = 0.02, 15.0
_LOOKS = 5
#: Time for a look in progress at a stop.
_LAST_SECONDS = 5.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 60.0, 3600.0


class AlertWatch:
    """Loop that compares the attention list with the alerts that were sent.

    One process at a time does it, over all hosts. What was sent is in the database, so a restart
    sends nothing twice; if a process dies between a sending and its commit, it is sent again. All
    troubles of one look are one mail and one call. A channel that fails is tried again after
    growing pauses. Nothing runs if no channel is set, or in test mode.
    """

    name = "alerts"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._after = parts.config.alerts.alert_after
        interval = max(_SHORTEST_INTERVAL_SECONDS, self._after / _LOOKS)
        self._interval = min(_LONGEST_INTERVAL_SECONDS, interval)
        self._table = parts.tables.of_feature(AlertsTable)
        self._channels = channels_of(parts)
        self._is_on = bool(self._channels) and not parts.config.test_mode
        self._space = process_space()
        self._owner = process_mark(uuid7(), self._space)
        #: Of each channel that failed: until when (monotonic) it is not tried, and its next pause.
        self._paused: dict[str, tuple[float, float]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._worker = Worker("alerts", self._round)

    @property
    def alive(self) -> bool:
        """True if the loop runs, or has nothing to do."""
        return self._worker.alive or not self._is_on

    async def start(self) -> None:
        """Start the loop if a channel is set."""
        if self._is_on:
            self._worker.start()

    async def stop(self, deadline: float) -> None:
        """Finish a look in some seconds, and let another process take over."""
        if not self._worker.alive:
            return
        await self._worker.stop()
        if self._looking is not None:
            seconds = min(_LAST_SECONDS, seconds_until(deadline))
            await asyncio.wait([self._looking], timeout=seconds)
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        with suppress(DatabaseUnavailable):  # the claim expires
            await self._parts.db.write(self._parts.tables.claims.release, self._owner)

    async def _round(self) -> None:
        await asyncio.sleep(self._interval)
        if await self._claimed():
            # A stop lets it end: what was sent should be marked as sent.
            self._looking = asyncio.create_task(self._look())
            await asyncio.shield(self._looking)

    async def _claimed(self) -> bool:
        """Take the claim, also that of a process of this host that has ended."""
        claims, db = self._parts.tables.claims, self._parts.db
        for owner in await db.read(claims.owners):
            if has_ended(owner, self._space):
                await db.write(claims.release, owner)
        now = self._parts.clock.now()
        return await db.write(claims.take, _CLAIM, self._owner, now, _CLAIM_SECONDS)

    async def _look(self) -> None:
        """Compare the attention list with the alerts, and send what is due."""
        parts = self._parts
        now = parts.clock.now()
        troubles = await parts.db.read(find_troubles, parts.tables, None)
        waiting = await parts.waiting.of(None)
        current = await attention_list(troubles, waiting, parts.disk, now)
        rows = await parts.db.write(self._table.follow, current, now)
        for channel in self._channels:
            due = [row for row in rows if is_due(row, channel.name, now, self._after)]
            if due and self._may_try(channel):
                await self._send(channel, due, now)
        if any(row["over_at"] is not None for row in rows):
            await parts.db.write(self._table.forget, [channel.name for channel in self._channels])

    async def _send(self, channel: Channel, due: list[Row], now: float) -> None:
        call = AlertCall(instance=self._parts.config.name, alerts=[_shown(row) for row in due])
        reason = await channel.send(call, now)
        if reason is None:
            await self._parts.db.write(self._table.mark, due, channel.name)
            self._paused.pop(channel.name, None)
            log(Action.ALERT_SENT, channel=channel.name, alerts=len(due))
            return
        _, pause = self._paused.get(channel.name, (0.0, _FIRST_PAUSE_SECONDS))
        until = self._parts.clock.monotonic() + pause
        self._paused[channel.name] = (until, min(2 * pause, _LONGEST_PAUSE_SECONDS))
        log(Action.ALERT_FAILED, channel=channel.name, alerts=len(due), reason=reason)

    def _may_try(self, channel: Channel) -> bool:
        until, _ = self._paused.get(channel.name, (0.0, 0.0))
        return self._parts.clock.monotonic() >= until


def _shown(row: Row) -> AlertOut:
    return AlertOut(
        id=row["id"],
        state="begun" if row["over_at"] is None else "over",
        code=row["code"],
        text=row["text"],
        since_ts=int(row["first_at"]),
        tenant_id=row["tenant_id"] or None,
        account_id=row["account_id"] or None,
        waiting=row["waiting"],
    )
