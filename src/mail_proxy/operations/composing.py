"""Compose a mail when it is taken in, so that attempts only add the Date."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from mail_proxy.domain.mail import TRACKING_HEADER, Mail
from mail_proxy.smtp.compose import compose_plain, compose_undated, from_header
from mail_proxy.smtp.extra_headers import check_extra_headers
from mail_proxy.smtp.headers import raw_header, token_header
from mail_proxy.sql.messages.large_content import LargeContent
from mail_proxy.sql.messages.mail_codec import (
    dump_address,
    dump_composed,
    dump_long_mail,
    dump_mail,
    dump_plain,
    dump_raw,
    has_long_text,
    is_small,
)
from mail_proxy.sql.messages.raw_text import RawText
from mail_proxy.wire.addresses import parse_mailbox
from mail_proxy.wire.mistakes import mistake
from mail_proxy.wire.new_messages import WrongMessage
from mail_proxy.wire.raw_message import RawMessage
from mail_proxy.wire.usual_message import UsualMessage

#: A longer body is composed by each attempt: composing it takes too long for the event loop.
_MOST_CHARACTERS = 16_000


def stored_form(mail: Mail, tracking_id: str) -> str | LargeContent:
    """Return the text to store: the composed message, or the mail as JSON.

    A message is composed if it is small and all ASCII. The boundary of a multipart mail depends on
    its Message-ID, which the replacement of a waiting message changes, so that one is not composed.
    """
    if has_long_text(mail):
        return dump_long_mail(mail)
    is_simple = mail.body_html is None and not mail.attachments
    if is_simple and len(mail.body) <= _MOST_CHARACTERS:
        try:
            undated = compose_undated(mail, tracking_id)
        except ValueError:
            return dump_mail(mail)  # the attempt to send it reports the reason
        if not (undated.is_8bit or undated.needs_smtputf8):
            return dump_composed(mail, undated.before, b"".join((undated.head, *undated.content)))
    return dump_mail(mail)


class _Sender(NamedTuple):
    """The parts of a stored message that depend on its sender alone."""

    header: str
    json: str
    domain: str


@lru_cache(maxsize=1024)  # the same in most messages of an application
def _sender(text: str) -> _Sender | None:
    """Return the parts for a sender that is right and all ASCII, else None."""
    try:
        sender = parse_mailbox(text)
    except ValueError:
        return None
    if not (sender.name.isascii() and sender.email.isascii()):
        return None
    domain = sender.email.rpartition("@")[2]
    return _Sender(from_header(sender), dump_address(sender), domain)


def usual_form(message: UsualMessage, unique: str) -> str | None:
    """Return the text that ``stored_form`` returns for the same message, or None.

    None means that it takes more than filling in a template, or that the sender is wrong.
    """
    sender = _sender(message.sender)
    if sender is None:
        return None
    message_id = f"<{unique}@{sender.domain}>"
    to, subject = message.to, message.subject
    parts = compose_plain(sender.header, to, subject, message_id, message.id, message.body)
    if parts is None:
        return None
    content = dump_plain(sender.json, to, subject, message_id, *parts)
    return content if is_small(content) else None


def raw_form(mail: Mail, raw: RawMessage, tracking_id: str) -> str | LargeContent:
    """Return the text to store for a raw message, with the fields that it lacks."""
    described = RawText(
        head_size=len(raw.head),
        added=missing_fields(mail, raw, tracking_id),
        is_dated=raw.text("date") is not None,
        is_8bit=raw.is_8bit,
        needs_smtputf8=raw.needs_smtputf8,
    )
    return dump_raw(mail, described, (raw.head, *raw.body))


def missing_fields(mail: Mail, raw: RawMessage, tracking_id: str) -> str:
    """Return the lines to add to the header of a raw message, except for its Date."""
    lines = []
    if raw.text("message-id") is None:
        lines.append(raw_header("Message-ID", mail.message_id))
    if raw.text(TRACKING_HEADER.lower()) is None:
        lines.append(token_header(TRACKING_HEADER, tracking_id))
    return "".join([f"{line}\r\n" for line in lines])


def check_headers(mail: Mail) -> None:
    """Raise WrongMessage for headers that delivery could not write."""
    try:
        check_extra_headers(mail.headers)
    except ValueError as error:
        message = str(error).removeprefix("header ")
        raise WrongMessage([mistake("headers", message)]) from None
