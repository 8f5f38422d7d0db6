"""Count recorded outcomes as metrics of their accounts."""

from __future__ import annotations

from mail_proxy.delivery.facts import OutcomesRecorded
from mail_proxy.domain.message import MessageState
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.messages.queue import StateChange
from mail_proxy.telemetry.metrics import AccountMetrics, MailMetrics


class OutcomeMetrics:
    """Counts sent, deferred and failed messages, and deliveries held by rate limits."""

    def __init__(self, metrics: MailMetrics, directory: Directory) -> None:
        self._metrics = metrics
        self._directory = directory

    def outcomes_recorded(self, fact: OutcomesRecorded) -> None:
        """Count outcomes that were committed together."""
        of_account: dict[str, list[StateChange]] = {}
        for change in fact.changes:
            of_account.setdefault(change.account_pk, []).append(change)
        for pk, group in of_account.items():
            metrics = self._of(pk, group[0].tenant_id)
            # From the due time, which an attempt that sends the message does not change.
            waits = [c.state_at - c.due_at for c in group if c.state is MessageState.SENT]
            deferred = sum(c.state is MessageState.DEFERRED for c in group)
            errors = len(group) - len(waits) - deferred
            if waits:
                metrics.sent.inc(len(waits))
                metrics.delivery.observe_all([max(0.0, seconds) for seconds in waits])
            if deferred:
                metrics.deferred.inc(deferred)
            if errors:
                metrics.errors.inc(errors)

    def given_up(self, account_pk: str, tenant_id: str, messages: int) -> None:
        """Count messages that ended in error without having been claimed."""
        if messages:
            self._of(account_pk, tenant_id).errors.inc(messages)

    def limited(self, account_pk: str, tenant_id: str) -> None:
        """Count that the account's queue was found at a rate limit."""
        self._of(account_pk, tenant_id).rate_limited.inc()

    def _of(self, account_pk: str, tenant_id: str) -> AccountMetrics:
        account = self._directory.snapshot.accounts.get(account_pk)
        return self._metrics.of_account(tenant_id, account.id if account else "")
