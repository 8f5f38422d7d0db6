"""Turn the outcome of an attempt into the next state, due time and event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mail_proxy.domain.message import EventType, MessageState
from mail_proxy.domain.outcome import (
    AccountTrouble,
    Deferred,
    Failed,
    Outcome,
    RecipientResult,
    RecipientStatus,
    Sent,
    Uncertain,
)
from mail_proxy.domain.retry import RetryStrategy
from mail_proxy.sql.messages.events import NewEvent
from mail_proxy.sql.messages.queue import ClaimedMessage, StateChange

_LONGEST_REASON = 1000


@dataclass(frozen=True)
class Settlement:
    """Rules that turn outcomes into state changes. Pure: they neither send nor store."""

    retry: RetryStrategy
    #: None: hold certified mail (PEC), retry all other.
    on_uncertain: Literal["retry", "hold"] | None = None
    #: Longest time that a message waits for a paused account.
    longest_wait_seconds: float = 259_200.0

    def settle(
        self, message: ClaimedMessage, outcome: Outcome, now: float, *, is_pec: bool = False
    ) -> StateChange:
        """Return the change for an attempt. ``wait_for_account`` is for AccountTrouble.

        ``is_pec``: the message is certified mail, of which no second copy may be sent.
        """
        holds = (self.on_uncertain or ("hold" if is_pec else "retry")) == "hold"
        change = self._settled(message, outcome, now, holds)
        change.attempted = True
        return change

    def _settled(
        self, message: ClaimedMessage, outcome: Outcome, now: float, holds: bool
    ) -> StateChange:
        match outcome:
            case Sent():
                return self._sent(message, outcome, now)
            case Failed(reason, code, recipients):
                return self._failed(message, reason, code, recipients, now)
            case Uncertain(reason, recipients):
                react = self._failed if holds else self._deferred
                return react(message, reason, None, recipients, now, uncertain=True)
            case Deferred(reason, code, recipients):
                return self._deferred(message, reason, code, recipients, now)
            case AccountTrouble(_, reason, code):
                return self._deferred(message, reason, code, (), now)

    def wait_for_account(
        self,
        message: ClaimedMessage,
        trouble: AccountTrouble,
        retry_at: float,
        since: float,
        now: float,
    ) -> StateChange:
        """Return the change for a message whose account cannot be used since ``since``.

        The message keeps its attempts. If it has waited in this way for longer than
        ``longest_wait_seconds``, it ends in error.
        """
        if now - max(message.due_at, since) > self.longest_wait_seconds:
            return self._failed(message, trouble.reason, trouble.code, (), now)
        data = {"retry_ts": retry_at, "deferred_reason": trouble.reason, "code": trouble.code}
        # The due time stays: the account is what waits, and a saved account is used at once.
        due_at = message.due_at
        return self._waiting(message, trouble.reason, due_at, message.retries, data, now)

    def broken_off(self, message: ClaimedMessage, now: float) -> StateChange:
        """Return the change for an attempt that lost its lease: due again at once.

        It counts, so that no message can cost a dispatcher its lease again and again.
        """
        reason = "broken off: the dispatcher had lost its lease"
        change = self.settle(message, Deferred(reason), now)
        if change.state == MessageState.DEFERRED:
            change.due_at = message.due_at
        return change

    def is_exhausted(self, message: ClaimedMessage) -> bool:
        """Return whether the message's last attempt ended with the process that made it."""
        return message.retries > self.retry.max_retries

    def exhausted(self, reason: str) -> str:
        """Return the error of a message whose last attempt has failed."""
        return f"Max retries ({self.retry.max_retries}) exceeded: {reason}"

    def give_up(self, message: ClaimedMessage, reason: str, now: float) -> StateChange:
        """Return the change that ends a message in error without an attempt."""
        return self._failed(message, reason, None, (), now)

    def _sent(self, message: ClaimedMessage, outcome: Sent, now: float) -> StateChange:
        is_whole = all(r.status is RecipientStatus.SENT for r in outcome.recipients)
        if is_whole and not message.recipient_results:
            return self._sent_to_all(message, outcome, now)
        results = _merged(message, outcome.recipients)
        left = [r["address"] for r in results if r["status"] == RecipientStatus.DEFERRED]
        # A transaction that served a recipient got somewhere, so it uses up no attempt.
        is_progress = any(r.status is RecipientStatus.SENT for r in outcome.recipients)
        used = min(message.retries, self.retry.max_retries - 1) if is_progress else message.retries
        delay = self.retry.delay_seconds(used) if left else None
        if left and delay is None:
            results = [_given_up(r) for r in results]
        refused = any(r["status"] != RecipientStatus.SENT for r in results)
        data: dict[str, Any] = {"code": outcome.code, "response": outcome.response}
        if refused or message.recipient_results:
            data["recipients"] = results
        event = _event(message, EventType.SENT, now, data)
        again = left and delay is not None
        return StateChange(
            pk=message.pk,
            claimed_by=message.claimed_by,
            account_pk=message.account_pk,
            tenant_id=message.tenant_id,
            state=MessageState.DEFERRED if again else MessageState.SENT,
            due_at=now + (delay or 0.0) if again else message.due_at,
            retries=message.retries + bool(again and not is_progress),
            state_at=now,
            error=None,
            recipients_left=left if again else None,
            recipient_results=results if refused or message.recipient_results else None,
            event=event,
        )

    def _sent_to_all(self, message: ClaimedMessage, outcome: Sent, now: float) -> StateChange:
        """Return the change of a message whose every recipient was served at once."""
        data: dict[str, Any] = {"code": outcome.code, "response": outcome.response}
        return StateChange(
            pk=message.pk,
            claimed_by=message.claimed_by,
            account_pk=message.account_pk,
            tenant_id=message.tenant_id,
            state=MessageState.SENT,
            due_at=message.due_at,
            retries=message.retries,
            state_at=now,
            error=None,
            recipients_left=None,
            recipient_results=None,
            event=_event(message, EventType.SENT, now, data),
        )

    def _deferred(
        self,
        message: ClaimedMessage,
        reason: str,
        code: int | None,
        recipients: Sequence[RecipientResult],
        now: float,
        *,
        uncertain: bool = False,
    ) -> StateChange:
        delay = self.retry.delay_seconds(message.retries)
        if delay is None:
            text = self.exhausted(reason)
            return self._failed(message, text, code, recipients, now, uncertain=uncertain)
        retry_at = now + delay
        data: dict[str, Any] = {"retry_ts": retry_at, "deferred_reason": reason, "code": code}
        if uncertain:
            data["uncertain"] = True
        if recipients:
            data["recipients"] = [_record(r) for r in recipients]
        waiting = self._waiting(message, reason, retry_at, message.retries + 1, data, now)
        if all(r.status is RecipientStatus.DEFERRED for r in recipients):
            return waiting
        # Recipients that were refused for good are not tried again.
        left = [r.address for r in recipients if r.status is RecipientStatus.DEFERRED]
        results = _merged(message, recipients)
        return replace(waiting, recipients_left=left, recipient_results=results)

    def _waiting(
        self,
        message: ClaimedMessage,
        reason: str,
        due_at: float,
        retries: int,
        data: dict[str, Any],
        now: float,
    ) -> StateChange:
        return StateChange(
            pk=message.pk,
            claimed_by=message.claimed_by,
            account_pk=message.account_pk,
            tenant_id=message.tenant_id,
            state=MessageState.DEFERRED,
            # A message that expires before its next attempt is reported when it expires.
            due_at=min(due_at, message.expires_at or due_at),
            retries=retries,
            state_at=now,
            error=reason[:_LONGEST_REASON],
            recipients_left=message.recipients_left,
            recipient_results=message.recipient_results,
            event=_event(message, EventType.DEFERRED, now, data),
        )

    def _failed(
        self,
        message: ClaimedMessage,
        reason: str,
        code: int | None,
        recipients: Sequence[RecipientResult],
        now: float,
        *,
        uncertain: bool = False,
    ) -> StateChange:
        results = [_given_up(r) for r in _merged(message, recipients)]
        # If an earlier attempt reached a recipient, the message as a whole was sent.
        partly = any(r["status"] == RecipientStatus.SENT for r in results)
        data: dict[str, Any] = {"code": code}
        if uncertain:
            data["uncertain"] = True
        if results:
            data["recipients"] = results
        if not partly:
            data["error"] = reason
        return StateChange(
            pk=message.pk,
            claimed_by=message.claimed_by,
            account_pk=message.account_pk,
            tenant_id=message.tenant_id,
            state=MessageState.SENT if partly else MessageState.ERROR,
            due_at=message.due_at,
            retries=message.retries,
            state_at=now,
            error=reason[:_LONGEST_REASON],
            recipients_left=None,
            recipient_results=results or None,
            event=_event(message, EventType.SENT if partly else EventType.ERROR, now, data),
        )


def _merged(message: ClaimedMessage, recipients: Sequence[RecipientResult]) -> list[dict[str, Any]]:
    """Return each recipient's latest answer, those of earlier attempts first."""
    results = {r["address"]: r for r in message.recipient_results or []}
    results.update({r.address: _record(r) for r in recipients})
    return list(results.values())


def _record(result: RecipientResult) -> dict[str, Any]:
    return {
        "address": result.address,
        "status": str(result.status),
        "code": result.code,
        "response": result.response,
    }


def _given_up(result: dict[str, Any]) -> dict[str, Any]:
    if result["status"] == RecipientStatus.DEFERRED:
        return {**result, "status": str(RecipientStatus.FAILED)}
    return result


def _event(message: ClaimedMessage, kind: EventType, now: float, data: dict[str, Any]) -> NewEvent:
    return NewEvent(message.pk, message.tenant_id, message.account_pk, kind, now, data)
