"""Raw messages that are fetched like an attachment, right before they are sent."""

from __future__ import annotations

from mail_proxy.attachments.content import Content
from mail_proxy.attachments.fetching import FetchFailed
from mail_proxy.delivery.pipeline import Outgoing, composed_raw
from mail_proxy.domain.outcome import Failed
from mail_proxy.operations.composing import raw_form
from mail_proxy.sql.messages.large_content import LargeContent
from mail_proxy.sql.messages.raw_text import RawText, load_raw_text
from mail_proxy.wire.new_messages import WrongMessage
from mail_proxy.wire.raw_message import WrongRaw, read_raw
from mail_proxy.wire.raw_paths import read_mail

_PIECE = 262_144


def set_raw(outgoing: Outgoing, content: Content) -> Failed | None:
    """Make the fetched content the message to send; return why it cannot be sent.

    Blocks while a file is read. The Message-ID that it may lack is the one that was stored.
    """
    try:
        raw = read_raw(content.pieces(_PIECE))
        mail = read_mail(outgoing.mail, raw)
    except (WrongRaw, WrongMessage) as error:
        return Failed(f"raw message: {str(error).removeprefix('raw: ')}")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FetchFailed(f"cannot be read: {reason}", is_temporary=True) from error
    outgoing.mail = mail
    message = outgoing.message
    whole = _text_of(raw_form(mail, raw, message.id))
    outgoing.composed = composed_raw(whole, mail.dated(message.created_at))
    return None


def _text_of(form: str | LargeContent) -> RawText:
    if isinstance(form, str):
        return load_raw_text(form)[1]
    text = bytearray()
    for piece in form.pieces:  # a join would hold the interpreter lock all the time
        text += piece
    return load_raw_text(text)[1]
