"""Accounts in trouble: paused, and healed when their server answers again."""

from __future__ import annotations

from mail_proxy.delivery.recorder import OutcomeRecorder
from mail_proxy.domain.account import Account
from mail_proxy.domain.outcome import AccountTrouble
from mail_proxy.sql import Connection
from mail_proxy.sql.table import Row
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.log import Action, log


class AccountHealth:
    """What deliveries tell of their accounts, written down however long that takes."""

    def __init__(self, tables: Tables, recorder: OutcomeRecorder) -> None:
        self._tables = tables
        self._recorder = recorder

    async def heal(self, account: Account) -> None:
        """Its server has answered about a message."""
        await self._recorder.write_until_done(self._tables.health.heal, account.pk)
        log(Action.ACCOUNT_HEALED, tenant_id=account.tenant_id, account_id=account.id)

    async def pause(
        self, account: Account, trouble: AccountTrouble, now: float, *, probe: bool
    ) -> Row | None:
        """The account's health, or None where it was saved since: then it gets a new chance."""
        return await self._recorder.write_until_done(self._pause, account, trouble, now, probe)

    def _pause(
        self,
        connection: Connection,
        account: Account,
        trouble: AccountTrouble,
        now: float,
        probe: bool,
    ) -> Row | None:
        saved = self._tables.accounts.find(connection, tenant_id=account.tenant_id, pk=account.pk)
        if saved is None or saved["version"] != account.login.version:
            return None
        return self._tables.health.trouble(connection, account.pk, trouble.reason, now, probe=probe)
