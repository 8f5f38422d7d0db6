"""Log lines about accounts in trouble."""

from __future__ import annotations

from mail_proxy.domain.account import Account
from mail_proxy.domain.outcome import AccountTrouble
from mail_proxy.smtp.replies import Stage
from mail_proxy.sql.table import Row
from mail_proxy.telemetry.log import Action, log
from mail_proxy.telemetry.troubles import Troubles


class AccountLog:
    """Logs accounts in trouble: when it begins, every few minutes, when it ends."""

    def __init__(self) -> None:
        self._troubles = Troubles()

    def log_paused(self, account: Account, trouble: AccountTrouble, row: Row, now: float) -> None:
        """Log that an account is paused; ``row`` is its health."""
        if not self._troubles.is_due(account.pk, has_just_begun=row["since_at"] >= now):
            return
        # A server's reply may quote the mail.
        has_seen_mail = trouble.reason.startswith(Stage.END_OF_DATA)
        log(
            Action.ACCOUNT_PAUSED,
            tenant_id=account.tenant_id,
            account_id=account.id,
            server=f"{account.login.host}:{account.login.port}",
            stage=trouble.stage,
            code=trouble.code,
            seconds=row["retry_at"] - now,
            retry_ts=row["retry_at"],
            reason=None if has_seen_mail else trouble.reason,
        )

    def log_healed(self, account: Account, seconds: float) -> None:
        """Log that an account works again after ``seconds``."""
        known = self._troubles.is_known(account.pk)
        # A pause that another process has logged ends here, too.
        if self._troubles.end(account.pk) is not None or not known:
            log(
                Action.ACCOUNT_HEALED,
                tenant_id=account.tenant_id,
                account_id=account.id,
                seconds=seconds,
            )
