"""What happens to one claimed message, from its stored form to the server's answer."""

from __future__ import annotations

from collections.abc import Callable

from mail_proxy.domain.account import Account
from mail_proxy.domain.outcome import Failed, Outcome
from mail_proxy.kit.clock import Clock
from mail_proxy.smtp.compose import compose
from mail_proxy.smtp.envelope import Withdrawn
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.sql.messages.mail_codec import load_mail
from mail_proxy.sql.messages.queue import ClaimedMessage


class Pipeline:
    """The steps of a delivery, in order."""

    def __init__(self, sender: SmtpSender, clock: Clock) -> None:
        self._sender = sender
        self._clock = clock

    async def deliver(
        self, account: Account, message: ClaimedMessage, may_begin: Callable[[], bool]
    ) -> Outcome | Withdrawn:
        """One attempt for all recipients that are left; ``may_begin`` as for ``SmtpSender``."""
        mail = load_mail(message.content)
        try:
            composed = compose(mail, tracking_id=message.id, date=self._clock.now())
        except ValueError as error:
            return Failed(f"the message cannot be composed: {error}")
        recipients = message.recipients_left or mail.recipients
        return await self._sender.send(
            account.login, mail.envelope_sender, recipients, composed, may_begin
        )
