"""Log lines about report calls."""

from __future__ import annotations

from collections.abc import Sequence

from mail_proxy.reporting.sync_client import CallFailed
from mail_proxy.sql.messages.events import PendingEvent
from mail_proxy.telemetry.log import Action, log
from mail_proxy.telemetry.troubles import Troubles
from mail_proxy.wire.reports import SyncAnswer

_MOST_IDS = 20


class CallLog:
    """Logs report calls, and applications that fail: begin, reminders, end.

    With ``each_message`` there is a line for each acknowledged event.
    """

    def __init__(self, *, each_message: bool = False) -> None:
        self._each_message = each_message
        self._troubles = Troubles()

    def add(
        self,
        tenant_id: str,
        url: str | None,
        events: Sequence[PendingEvent],
        answer: SyncAnswer | CallFailed,
        retry_at: float | None,
        *,
        had_failed: bool,
    ) -> None:
        """Log one call; ``retry_at`` is the time of the next one after a failure.

        ``had_failed``: the call before it failed, in this process or another.
        """
        if isinstance(answer, CallFailed):
            self._log_failure(tenant_id, url, len(events), answer.reason, retry_at)
            return
        # A trouble that another process has logged ends here, too.
        is_foreign = had_failed and not self._troubles.is_known(tenant_id)
        seconds = self._troubles.end(tenant_id)
        if seconds is not None or is_foreign:
            log(Action.REPORT_RESUMED, tenant_id=tenant_id, url=url, seconds=seconds)
        if events:
            self._log_answer(tenant_id, events, answer)
        else:
            log(Action.REPORT_EMPTY, tenant_id=tenant_id, queued=answer.queued)

    def _log_failure(
        self, tenant_id: str, url: str | None, events: int, reason: str, retry_at: float | None
    ) -> None:
        if self._troubles.is_due(tenant_id):
            log(
                Action.REPORT_FAILED,
                tenant_id=tenant_id,
                url=url,
                events=events,
                reason=reason,
                retry_ts=retry_at,
            )

    def _log_answer(
        self, tenant_id: str, events: Sequence[PendingEvent], answer: SyncAnswer
    ) -> None:
        refused, missing = set(answer.error), set(answer.not_found)
        log(
            Action.REPORT_SENT,
            tenant_id=tenant_id,
            events=len(events),
            refused=len(refused),
            queued=answer.queued,
        )
        if missing:
            # Log only ids that were in the call: the application may answer any text.
            known = [e.message_id for e in events if e.message_id in missing]
            ids = list(dict.fromkeys(known))[:_MOST_IDS]
            log(Action.REPORT_NOT_FOUND, tenant_id=tenant_id, count=len(missing), ids=ids)
        if self._each_message:
            for event in (e for e in events if e.message_id not in refused):
                _log_reported(tenant_id, event)


def _log_reported(tenant_id: str, event: PendingEvent) -> None:
    log(
        Action.MESSAGE_REPORTED,
        tenant_id=tenant_id,
        account_id=event.account_id,
        message_id=event.message_id,
        message_pk=event.message_pk,
        event_type=event.event_type,
    )
