"""Log lines about deliveries.

A server's reply may quote the mail, so the log does not repeat it. The events hold it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from mail_proxy.domain.message import MessageState
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.messages.queue import ClaimedMessage, StateChange
from mail_proxy.telemetry.log import Action, log
from mail_proxy.telemetry.troubles import REMINDER_SECONDS, Troubles

_ACTIONS = {
    MessageState.SENT: Action.MESSAGE_SENT,
    MessageState.DEFERRED: Action.MESSAGE_DEFERRED,
    MessageState.ERROR: Action.MESSAGE_ERROR,
}
#: Messages of an account that are logged one by one when they are given up within five minutes.
_MOST_GIVEN_UP = 20
_faults = Troubles()


@dataclass
class _GivenUp:
    tenant_id: str
    account_id: str
    until: float
    logged: int = 0
    left_out: int = 0


class OutcomeLog:
    """Logs messages that are given up and, if the settings ask for it, every outcome.

    Without that setting, of an account that gives up very many messages the first 20 in five
    minutes have a line each, and the others one line together.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        enabled: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._enabled = enabled
        self._monotonic = monotonic
        self._given_up: dict[str, _GivenUp] = {}

    def log_outcome(self, message: ClaimedMessage, change: StateChange) -> None:
        """Log the outcome of one attempt, or of a message that ends without one."""
        if not self._enabled and change.state != MessageState.ERROR:
            return
        account = self._directory.snapshot.accounts.get(message.account_pk)
        account_id = account.id if account else ""
        if not self._enabled and not self._is_among_the_first(message, account_id):
            return
        data = change.event.data if change.event else {}
        code: int | None = data.get("code")
        # If no server was asked, or none answered, the reason is the proxy's own text.
        reason = None if change.attempted or code is not None else change.error
        is_deferred = change.state == MessageState.DEFERRED
        log(
            _ACTIONS[change.state],
            tenant_id=message.tenant_id,
            account_id=account_id,
            message_id=message.id,
            message_pk=message.pk,
            code=code,
            reason=reason,
            retry_ts=data.get("retry_ts", change.due_at) if is_deferred else None,
        )

    def summarize(self, *, is_last: bool = False) -> None:
        """Log the number of given-up messages without a line, once their time is over."""
        now = self._monotonic()
        for pk, given_up in list(self._given_up.items()):
            if now < given_up.until and not is_last:
                continue
            del self._given_up[pk]
            if given_up.left_out:
                log(
                    Action.MESSAGES_GIVEN_UP,
                    tenant_id=given_up.tenant_id,
                    account_id=given_up.account_id,
                    messages=given_up.left_out,
                    reason="too many to log one by one",
                )

    def _is_among_the_first(self, message: ClaimedMessage, account_id: str) -> bool:
        given_up = self._given_up.get(message.account_pk)
        if given_up is None:
            until = self._monotonic() + REMINDER_SECONDS
            given_up = _GivenUp(message.tenant_id, account_id, until)
            self._given_up[message.account_pk] = given_up
        is_first = given_up.logged < _MOST_GIVEN_UP
        given_up.logged += is_first
        given_up.left_out += not is_first
        return is_first


def log_fault(account_id: str, message: ClaimedMessage, fault: Exception) -> None:
    """Log an error in the proxy itself that ended an attempt; each kind rarely."""
    if not _faults.is_due(type(fault).__name__):
        return
    log(
        Action.MESSAGE_FAULT,
        exception=fault,
        tenant_id=message.tenant_id,
        account_id=account_id,
        message_id=message.id,
        message_pk=message.pk,
    )
