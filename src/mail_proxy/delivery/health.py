"""Pause an account whose server cannot be used; heal it when the server answers."""

from __future__ import annotations

from mail_proxy.delivery.account_log import AccountLog
from mail_proxy.delivery.facts import AccountUsable
from mail_proxy.delivery.failure_shares import FailureShares
from mail_proxy.delivery.lane import Lane
from mail_proxy.delivery.outcome_metrics import OutcomeMetrics
from mail_proxy.delivery.recorder import OutcomeRecorder
from mail_proxy.delivery.settlement import Settlement
from mail_proxy.domain.account import Account
from mail_proxy.domain.outcome import AccountTrouble
from mail_proxy.errors import ConstraintViolated
from mail_proxy.kit.bus import Bus
from mail_proxy.sql import Connection
from mail_proxy.sql.messages.queue import ClaimedMessage
from mail_proxy.sql.table import Row
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.log import Action, log

#: Messages that end in one transaction because their account was paused for too long.
_OVERDUE_AT_ONCE = 500


class AccountHealth:
    """Writes pauses and recoveries of accounts, however long the database is away."""

    def __init__(
        self,
        tables: Tables,
        recorder: OutcomeRecorder,
        settlement: Settlement,
        metrics: OutcomeMetrics,
        bus: Bus,
        failures: FailureShares,
    ) -> None:
        self._failures = failures
        self._tables = tables
        self._recorder = recorder
        self._settlement = settlement
        self._metrics = metrics
        self._bus = bus
        self._account_log = AccountLog()

    async def heal(self, account: Account, now: float) -> None:
        """Clear an account's failures: its server has answered about a message."""
        try:
            since = await self._recorder.write_until_done(self._tables.health.heal, account.pk)
            if since is not None:
                self._account_log.log_healed(account, now - since)
        finally:
            self._bus.publish(AccountUsable(account.pk))

    async def probe_again(self, account: Account, now: float) -> None:
        """Have another message probe the account: no server was asked about the last one."""
        begin_probe = self._tables.health.begin_probe
        await self._recorder.write_until_done(begin_probe, account.pk, now)
        self._bus.publish(AccountUsable(account.pk))

    async def pause(
        self,
        lane: Lane,
        account: Account,
        message: ClaimedMessage,
        trouble: AccountTrouble,
        now: float,
    ) -> None:
        """Pause the account; ``message`` and the lane's waiting messages wait with it.

        An account that was saved after its session was opened is not paused: the new settings
        get a chance, and the messages go back to the queue.
        """
        is_probe = lane.end_probe()
        lane.failed()
        self._failures.failed(account.tenant_id)
        write = self._recorder.write_until_done
        try:
            row = await write(self._pause, account, trouble, now, is_probe)
        except ConstraintViolated:
            row = None  # the account was removed meanwhile
        messages = (message, *lane.drop_waiting())
        if row is None:
            await self._recorder.give_back(messages)
            self._bus.publish(AccountUsable(account.pk))
            return
        self._account_log.log_paused(account, trouble, row, now)
        for waiting in messages:
            change = self._settlement.wait_for_account(
                waiting, trouble, row["retry_at"], row["since_at"], now
            )
            await self._recorder.settle(waiting, change)
        if row["since_at"] <= now - self._settlement.longest_wait_seconds:
            await self._end_overdue(account, trouble, now)

    async def _end_overdue(self, account: Account, trouble: AccountTrouble, now: float) -> None:
        """End the messages that have waited for the account for the whole retry schedule."""
        cutoff = now - self._settlement.longest_wait_seconds
        overdue = (account.pk, trouble.reason, cutoff, now, _OVERDUE_AT_ONCE)
        write = self._recorder.write_until_done
        total = 0
        while ended := await write(self._tables.given_up.overdue, *overdue):
            self._metrics.given_up(account.pk, account.tenant_id, ended)
            total += ended
        if total:
            log(
                Action.MESSAGES_GIVEN_UP,
                tenant_id=account.tenant_id,
                account_id=account.id,
                messages=total,
                reason="its account was in trouble for too long (account_trouble_max_wait)",
            )

    def _pause(
        self,
        connection: Connection,
        account: Account,
        trouble: AccountTrouble,
        now: float,
        probe: bool,
    ) -> Row | None:
        """Return the account's health; None if it was saved or removed since the login."""
        saved = self._tables.accounts.find(connection, tenant_id=account.tenant_id, pk=account.pk)
        if saved is None or saved["version"] != account.login.version:
            return None
        return self._tables.health.trouble(connection, account.pk, trouble.reason, now, probe=probe)
