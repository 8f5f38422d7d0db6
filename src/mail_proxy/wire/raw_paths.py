"""A raw message that a client hands in by its place: it is read when it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field, ValidationError, field_validator

from mail_proxy.domain.attachment import BASE64_PREFIX, FetchMode
from mail_proxy.domain.long_text import LongText
from mail_proxy.domain.mail import Mail
from mail_proxy.wire.addresses import parse_mailbox, parse_mailboxes
from mail_proxy.wire.attachments import AttachmentIn
from mail_proxy.wire.fields import OneLine
from mail_proxy.wire.mistakes import Mistake, of_validation
from mail_proxy.wire.new_messages import (
    NOBODY,
    RECIPIENTS,
    QueuedIn,
    Recipients,
    WrongMessage,
    collected,
    reverse_path,
    wrong_number,
)
from mail_proxy.wire.new_raw_messages import envelope_sender, header_of, recipients_of
from mail_proxy.wire.raw_message import RawMessage

_FILENAME = "raw message"


class RawPathIn(QueuedIn):
    """A whole message to queue (RFC 5322), which is read when it is sent."""

    raw_path: OneLine = Field(
        max_length=4000,
        description="Place of the message, as the `storage_path` of an attachment: a URL, the path "
        "of a file, `<mount>:<path>`, or any text for the tenant's application.",
    )
    sender: OneLine | None = Field(
        None,
        alias="from",
        description="Envelope sender. Default: the From of the message, or its Sender.",
    )
    to: Recipients | None = Field(
        None,
        description="Recipients. Without `to`, `cc` and `bcc`: To, Cc and Bcc of the message, "
        "unless `raw_path` is a URL.",
    )
    cc: Recipients | None = Field(None, description="More recipients.")
    bcc: Recipients | None = Field(None, description="More recipients.")
    return_path: OneLine | None = Field(
        None, description="Envelope sender instead of `from`; empty or <>: none."
    )

    message_id: ClassVar[None] = None
    raw: ClassVar[str] = ""

    @field_validator("raw_path")
    @classmethod
    def _is_place(cls, value: str) -> str:
        try:
            AttachmentIn.model_validate({"filename": _FILENAME, "storage_path": value})
        except ValidationError as error:
            raise ValueError(of_validation(error)[0]["message"]) from None
        return value

    def mail(self, unique: str) -> Mail:
        """Return the mail, whose only attachment is the message; raises WrongMessage.

        Without `from` the sender, and without recipients the whole envelope, are empty until the
        message is read.
        """
        wrong: list[Mistake] = []
        to, cc, bcc = (
            collected(wrong, name, parse_mailboxes, getattr(self, name), ()) for name in RECIPIENTS
        )
        sender = NOBODY
        if self.sender is not None:
            sender = collected(wrong, "from", parse_mailbox, self.sender, NOBODY)
        path = collected(wrong, "return_path", reverse_path, self.return_path, None)
        place = AttachmentIn.model_validate({"filename": _FILENAME, "storage_path": self.raw_path})
        attachment = place.attachment()
        if not wrong and (self._names_recipients or attachment.mode is FetchMode.HTTP_URL):
            wrong += wrong_number(len(to) + len(cc) + len(bcc))
        if wrong:
            raise WrongMessage(wrong)
        domain = sender.email.rpartition("@")[2] or "localhost"
        return Mail(
            sender=sender,
            to=to,
            cc=cc,
            bcc=bcc,
            subject="",
            body="",
            content_type="raw",
            message_id=f"<{unique}@{domain}>",
            return_path=path,
            not_before=self.deferred_ts,
            attachments=(attachment,),
        )

    @property
    def _names_recipients(self) -> bool:
        return any(getattr(self, name) is not None for name in RECIPIENTS)


def read_mail(mail: Mail, raw: RawMessage) -> Mail:
    """Return the mail of a RawPathIn as its message says, once that is read.

    Raises WrongMessage if the header is wrong.
    """
    author, subject, message_id = header_of(raw)
    if not mail.recipients:
        to, cc, bcc = recipients_of(raw)
        mail = replace(mail, to=to, cc=cc, bcc=bcc)
    path = mail.return_path
    if path is None:
        path = mail.sender.email or envelope_sender(raw)
    return replace(
        mail,
        sender=author,
        subject=subject,
        message_id=message_id or mail.message_id,
        return_path=path,
        content_type="plain",
        attachments=(),
    )


def in_base64(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the record with ``raw`` if its ``raw_path`` is the message in base64."""
    path = record.get("raw_path")
    begin = path.pieces[0] if isinstance(path, LongText) else path
    if not isinstance(begin, str) or begin[: len(BASE64_PREFIX)].lower() != BASE64_PREFIX:
        return None
    begin = begin[len(BASE64_PREFIX) :]
    raw = LongText((begin, *path.pieces[1:])) if isinstance(path, LongText) else begin
    return {name: value for name, value in record.items() if name != "raw_path"} | {"raw": raw}
