"""What the log tells of deliveries.

What a server says of a mail may quote the mail, so it is not repeated here; the events have it.
"""

from __future__ import annotations

from mail_proxy.domain.account import Account
from mail_proxy.domain.message import MessageState
from mail_proxy.domain.outcome import AccountTrouble
from mail_proxy.smtp.replies import Stage
from mail_proxy.sql.messages.queue import ClaimedMessage, StateChange
from mail_proxy.telemetry.log import Action, log

_ACTIONS = {
    MessageState.SENT: Action.MESSAGE_SENT,
    MessageState.DEFERRED: Action.MESSAGE_DEFERRED,
    MessageState.ERROR: Action.MESSAGE_ERROR,
}


def log_outcome(account_id: str, message: ClaimedMessage, change: StateChange) -> None:
    """One line for what became of an attempt."""
    data = change.event.data if change.event else {}
    code: int | None = data.get("code")
    # Where nobody was asked, or nobody answered, the words are the proxy's own.
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


def log_fault(account_id: str, message: ClaimedMessage, fault: Exception) -> None:
    """An error of the proxy's own has ended an attempt."""
    log(
        Action.MESSAGE_FAULT,
        exception=fault,
        tenant_id=message.tenant_id,
        account_id=account_id,
        message_id=message.id,
        message_pk=message.pk,
    )


def log_paused(account: Account, trouble: AccountTrouble, seconds: float) -> None:
    """An account rests for so long."""
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
