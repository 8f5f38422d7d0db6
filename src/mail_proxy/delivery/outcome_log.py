"""Log lines about deliveries.

A server's reply may quote the mail, so the log does not repeat it. The events hold it.
"""

from __future__ import annotations

from mail_proxy.domain.account import Account
from mail_proxy.domain.message import MessageState
from mail_proxy.domain.outcome import AccountTrouble
from mail_proxy.smtp.replies import Stage
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.messages.queue import ClaimedMessage, StateChange
from mail_proxy.telemetry.log import Action, log

_ACTIONS = {
    MessageState.SENT: Action.MESSAGE_SENT,
    MessageState.DEFERRED: Action.MESSAGE_DEFERRED,
    MessageState.ERROR: Action.MESSAGE_ERROR,
}


class OutcomeLog:
    """Logs one line for each outcome, if the settings ask for it."""

    def __init__(self, directory: Directory, *, enabled: bool) -> None:
        self._directory = directory
        self._enabled = enabled

    def log_outcome(self, message: ClaimedMessage, change: StateChange) -> None:
        """Log the outcome of one attempt, or of a message that ends without one."""
        if not self._enabled:
            return
        account = self._directory.snapshot.accounts.get(message.account_pk)
        data = change.event.data if change.event else {}
        code: int | None = data.get("code")
        # If no server was asked, or none answered, the reason is the proxy's own text.
        reason = None if change.attempted or code is not None else change.error
        is_deferred = change.state == MessageState.DEFERRED
        log(
            _ACTIONS[change.state],
            tenant_id=message.tenant_id,
            account_id=account.id if account else "",
            message_id=message.id,
            message_pk=message.pk,
            code=code,
            reason=reason,
            retry_ts=data.get("retry_ts", change.due_at) if is_deferred else None,
        )


def log_fault(account_id: str, message: ClaimedMessage, fault: Exception) -> None:
    """Log an error in the proxy itself that ended an attempt."""
    log(
        Action.MESSAGE_FAULT,
        exception=fault,
        tenant_id=message.tenant_id,
        account_id=account_id,
        message_id=message.id,
        message_pk=message.pk,
    )


def log_paused(account: Account, trouble: AccountTrouble, seconds: float) -> None:
    """Log that an account is paused, and for how many seconds."""
    has_seen_mail = trouble.reason.startswith(Stage.END_OF_DATA)
    log(
        Action.ACCOUNT_PAUSED,
        tenant_id=account.tenant_id,
        account_id=account.id,
        stage=trouble.stage,
        code=trouble.code,
        seconds=seconds,
        reason=None if has_seen_mail else trouble.reason,
    )
