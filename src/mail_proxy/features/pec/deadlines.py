"""Watch for missing acceptances, and for outcomes that came after a receipt."""

from __future__ import annotations

import asyncio
from typing import Any

from mail_proxy.domain.facts import EventsAdded
from mail_proxy.domain.message import WAITING, MessageState
from mail_proxy.features.pec.recording import LOOK_AGAIN_SECONDS
from mail_proxy.features.pec.step import PROVED
from mail_proxy.kit.worker import Worker
from mail_proxy.operations.parts import Parts
from mail_proxy.sql import Connection
from mail_proxy.sql.messages.certified import StoredMessage, find_by_pk, mark_proved
from mail_proxy.sql.messages.events import NewEvent
from mail_proxy.sql.tables.pec import CertifiedMessage
from mail_proxy.telemetry.log import Action, log

_MOST_AT_ONCE = 100
#: Messages of other processes are noticed after so long at the latest.
_LONGEST_WAIT_SECONDS, _SHORTEST_WAIT_SECONDS = 15.0, 0.1


class PecDeadlines:
    """Loop that looks at messages whose instant has come.

    Any number of processes may run it: a look locks its message.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._timeout = parts.config.pec.pec_acceptance_timeout
        self._changed = asyncio.Event()
        self.worker = Worker("pec deadlines", self._round)

    def wake(self) -> None:
        """Look at once when the next message is due, which has changed."""
        self._changed.set()

    async def _round(self) -> None:
        self._changed.clear()
        now = self._parts.clock.now()
        due = await self._parts.db.read(self._parts.tables.pec.due, now, _MOST_AT_ONCE)
        changed = False
        for pk in due:
            changed |= await self._parts.db.write(self._look, pk, now)
        if changed:
            self._parts.bus.publish(EventsAdded())
        if len(due) == _MOST_AT_ONCE:
            return
        next_at = await self._parts.db.read(self._parts.tables.pec.next_due_at)
        wait = min(_LONGEST_WAIT_SECONDS, self._timeout)
        if next_at is not None:
            wait = min(wait, next_at - self._parts.clock.now())
        try:
            async with asyncio.timeout(max(wait, _SHORTEST_WAIT_SECONDS)):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _look(self, connection: Connection, pk: str, now: float) -> bool:
        """Look at one message; return whether an event was appended."""
        pec = self._parts.tables.pec
        found = pec.among(connection, [pk]).get(pk)
        if found is None:
            return False
        message = find_by_pk(connection, found.tenant_id, pk, lock=True)
        state = pec.locked(connection, pk)
        if state is None or state.due_at is None or state.due_at > now:
            return False  # another process was faster
        if message is None:
            pec.change(connection, pk, due_at=None)
            return False
        if state.accepted_at is not None:
            return self._settle(connection, message, now)
        return self._expire(connection, message, state, now)

    def _settle(self, connection: Connection, message: StoredMessage, now: float) -> bool:
        """Correct an outcome that was recorded after the receipt of acceptance."""
        is_wrong = message.may_be_proved
        if is_wrong:
            mark_proved(connection, self._parts.tables.events, message, (), PROVED, now)
            log(Action.PEC_PROVED, tenant_id=message.tenant_id, message_id=message.id)
        is_open = message.state is MessageState.SENDING
        due_at = now + LOOK_AGAIN_SECONDS if is_open else None
        self._parts.tables.pec.change(connection, message.pk, due_at=due_at)
        return is_wrong

    def _expire(
        self, connection: Connection, message: StoredMessage, state: CertifiedMessage, now: float
    ) -> bool:
        """Append ``pec_timeout`` if the message was sent long enough ago."""
        pec, timeout = self._parts.tables.pec, self._timeout
        if message.state in (*WAITING, MessageState.SENDING):
            pec.change(connection, message.pk, due_at=now + timeout)
            return False
        if message.state is MessageState.ERROR and not message.is_uncertain:
            pec.change(connection, message.pk, due_at=None)
            return False
        ends_at = (message.state_at or now) + timeout
        if ends_at > now:
            pec.change(connection, message.pk, due_at=ends_at)
            return False
        data: dict[str, Any] = {
            "recipient": None,
            "error": f"no receipt of acceptance within {timeout:g} seconds",
        }
        event = NewEvent(
            message.pk, message.tenant_id, message.account_pk, "pec_timeout", now, data
        )
        self._parts.tables.events.append(connection, [event])
        pec.change(connection, message.pk, due_at=None, timed_out_at=now)
        log(
            Action.PEC_TIMEOUT,
            tenant_id=message.tenant_id,
            message_id=message.id,
            seconds=timeout,
        )
        return True
