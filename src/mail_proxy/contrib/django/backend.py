"""E-mail backends of Django: at once to the proxy, or through an outbox."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from smtplib import SMTPException
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from mail_proxy.client import MailProxyClient
from mail_proxy.contrib.django import conf
from mail_proxy.contrib.django.conversion import message_of
from mail_proxy.contrib.queueing import Refusal, queue_messages
from mail_proxy.errors import MailProxyError


class NotQueued(SMTPException):
    """The proxy refused mails, or could not be reached.

    ``refusals`` has message id and reason of each refused mail. It is an SMTPException, so that
    code written for Django's own backend handles it.
    """

    def __init__(self, text: str, refusals: Sequence[Refusal] = ()) -> None:
        super().__init__(text)
        self.refusals = list(refusals)


class EmailBackend(BaseEmailBackend):
    """Backend that queues mails at the proxy.

    They are on its disk when ``send`` returns.

    Each mail gets the attribute ``mail_proxy``, a dictionary with its ``id``. Set other options of
    ``conversion.OPTIONS`` in it before sending.
    """

    def __init__(self, fail_silently: bool = False, **options: Any) -> None:
        super().__init__(fail_silently=fail_silently, **options)
        self._client: MailProxyClient | None = None
        self._lock = threading.RLock()

    def open(self) -> bool:
        """Open a client; return False if there is one already."""
        if self._client is not None:
            return False
        self._client = conf.new_client()
        return True

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Queue mails; return how many.

        Raises NotQueued if the proxy refuses some, after the others have been queued, or cannot
        be reached; with ``fail_silently`` neither.
        """
        account_id = conf.setting("MAIL_PROXY_ACCOUNT_ID")
        mails = [message_of(mail, account_id) for mail in email_messages if mail.recipients()]
        if not mails:
            return 0
        with self._lock:
            is_new = self.open()
            try:
                refusals = queue_messages(self._opened, mails)
            except MailProxyError as error:
                if self.fail_silently:
                    return 0
                raise NotQueued(str(error)) from error
            finally:
                if is_new:
                    self.close()
        if refusals and not self.fail_silently:
            reasons = "; ".join(f"{refusal.id}: {refusal.reason}" for refusal in refusals[:5])
            raise NotQueued(f"{len(refusals)} of {len(mails)} mails refused: {reasons}", refusals)
        return len(mails) - len(refusals)

    @property
    def _opened(self) -> MailProxyClient:
        assert self._client is not None
        return self._client


class OutboxBackend(BaseEmailBackend):
    """Backend that stores mails in the database, in the caller's transaction.

    A mail is queued when, and only when, that transaction commits: once right after the commit,
    and by ``manage.py send_outbox`` if the proxy could not be reached then. Needs
    ``"mail_proxy.contrib.django"`` in INSTALLED_APPS.
    """

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Store mails in the outbox; return how many."""
        from mail_proxy.contrib.django import outbox

        account_id = conf.setting("MAIL_PROXY_ACCOUNT_ID")
        mails = [message_of(mail, account_id) for mail in email_messages if mail.recipients()]
        outbox.store(mails)
        return len(mails)
