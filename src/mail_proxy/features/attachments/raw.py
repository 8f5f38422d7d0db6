"""Raw messages that are fetched like an attachment, right before they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mail_proxy.attachments.content import Content
from mail_proxy.attachments.fetching import FetchFailed
from mail_proxy.delivery.pipeline import Outgoing
from mail_proxy.domain.outcome import Failed
from mail_proxy.operations.composing import missing_fields
from mail_proxy.smtp.compose import ComposedMail, date_line
from mail_proxy.smtp.streamed import Rest, UnreadableError
from mail_proxy.wire.new_messages import WrongMessage
from mail_proxy.wire.raw_message import WrongRaw, raw_body, scan_raw
from mail_proxy.wire.raw_paths import read_mail

_PIECE = 262_144
_EMPTY_LINE = b"\r\n"


@dataclass(frozen=True, slots=True)
class _RawBody:
    """Body of a fetched message, read while it is sent."""

    content: Content
    size: int

    def pieces(self) -> Iterator[bytes]:
        """Yield the octets behind the empty line; raises UnreadableError or OSError."""
        try:
            pieces = raw_body(self.content.pieces(_PIECE))
            yield next(pieces).removeprefix(_EMPTY_LINE)
            yield from pieces
        except WrongRaw as error:
            raise UnreadableError(f"the raw message has changed: {error}") from error


def set_raw(outgoing: Outgoing, content: Content) -> Failed | None:
    """Make the fetched content the message to send; return why it cannot be sent.

    Blocks while a file is read. The Message-ID that it may lack is the one that was stored.
    """
    try:
        raw, size = scan_raw(content.pieces(_PIECE))
        mail = read_mail(outgoing.mail, raw)
    except (WrongRaw, WrongMessage) as error:
        return Failed(f"raw message: {str(error).removeprefix('raw: ')}")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FetchFailed(f"cannot be read: {reason}", is_temporary=True) from error
    outgoing.mail = mail
    message = outgoing.message
    date = b"" if raw.text("date") is not None else date_line(mail.dated(message.created_at))
    added = missing_fields(mail, raw, message.id).encode()
    outgoing.composed = ComposedMail(
        b"".join((raw.head, date, added, _EMPTY_LINE)),
        raw.needs_smtputf8,
        raw.is_8bit,
        Rest((_RawBody(content, size - len(_EMPTY_LINE)),)),
    )
    return None
