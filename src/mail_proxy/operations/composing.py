"""Compose a mail when it is taken in, so that attempts only add the Date."""

from __future__ import annotations

from mail_proxy.domain.mail import Mail
from mail_proxy.smtp.compose import compose_undated
from mail_proxy.smtp.extra_headers import check_extra_headers
from mail_proxy.sql.messages.mail_codec import dump_composed, dump_mail
from mail_proxy.wire.mistakes import mistake
from mail_proxy.wire.new_messages import WrongMessage

#: A longer body is composed by each attempt: composing it takes too long for the event loop.
_MOST_CHARACTERS = 16_000


def stored_form(mail: Mail, tracking_id: str) -> str:
    """Return the text to store: the composed message, or the mail as JSON.

    A message is composed if it is small and all ASCII. The boundary of a multipart mail depends on
    its Message-ID, which the replacement of a waiting message changes, so that one is not composed.
    """
    if len(mail.body) <= _MOST_CHARACTERS and mail.body_html is None:
        try:
            undated = compose_undated(mail, tracking_id)
        except ValueError:
            return dump_mail(mail)  # the attempt to send it reports the reason
        if not (undated.is_8bit or undated.needs_smtputf8):
            return dump_composed(mail, undated.before, undated.head + undated.content)
    return dump_mail(mail)


def check_headers(mail: Mail) -> None:
    """Raise WrongMessage for headers that delivery could not write."""
    try:
        check_extra_headers(mail.headers)
    except ValueError as error:
        message = str(error).removeprefix("header ")
        raise WrongMessage([mistake("headers", message)]) from None
