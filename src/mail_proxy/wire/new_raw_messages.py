"""A raw message that a client hands in: a whole RFC 5322 message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar, TypeVar

from pydantic import Field, ValidationError

from mail_proxy.domain.mail import Address, Mail
from mail_proxy.wire.address_list import addresses_in
from mail_proxy.wire.addresses import parse_mailbox, parse_mailboxes
from mail_proxy.wire.base64_text import decode_base64
from mail_proxy.wire.encoded_words import decoded_words
from mail_proxy.wire.fields import Content, OneLine
from mail_proxy.wire.message_bounds import LONGEST_SUBJECT, MOST_RECIPIENTS
from mail_proxy.wire.mistakes import Mistake, mistake, of_validation
from mail_proxy.wire.new_messages import (
    NOBODY,
    RECIPIENTS,
    MessageIn,
    QueuedIn,
    Recipients,
    RejectionCode,
    WrongMessage,
    collected,
    reverse_path,
    wrong_number,
)
from mail_proxy.wire.raw_message import RawMessage, WrongRaw, read_raw

Whole = TypeVar("Whole", bound=QueuedIn)
_LONGEST_MESSAGE_ID = 998
_COMMENT_OR_BLANK = re.compile(r"\([^()]*\)|[ \t]+")
_MESSAGE_ID = re.compile(r"<[^<>]+>")


class RawMessageIn(QueuedIn):
    """A whole message to queue (RFC 5322), which is sent as it is."""

    raw: Content = Field(
        description="The message in base64; at most max_message_mb. Bcc and Return-Path are taken "
        "out; Date, Message-ID and X-Genro-Mail-ID are added if absent; line ends become CRLF."
    )
    sender: OneLine | None = Field(
        None,
        alias="from",
        description="Envelope sender. Default: the From of `raw`, or its Sender if From names "
        "several.",
    )
    to: Recipients | None = Field(
        None, description="Recipients. Without `to`, `cc` and `bcc`: To, Cc and Bcc of `raw`."
    )
    cc: Recipients | None = Field(None, description="More recipients.")
    bcc: Recipients | None = Field(None, description="More recipients.")
    return_path: OneLine | None = Field(
        None, description="Envelope sender instead of `from`; empty or <>: none."
    )

    #: The message has its own, or gets it when it is read.
    message_id: ClassVar[None] = None

    def octets(self) -> Iterator[bytes]:
        """Yield the octets of ``raw`` in pieces; raises WrongMessage for wrong base64."""
        try:
            yield from decode_base64(self.raw)
        except ValueError as error:
            raise WrongMessage([mistake("raw", str(error))]) from None

    def message(self, most_octets: int) -> RawMessage:
        """Return the message in ``raw``; raises WrongMessage."""
        try:
            return read_raw(_bounded(self.octets(), most_octets))
        except WrongRaw as error:
            raise WrongMessage([mistake("raw", str(error))]) from None

    def mail(self, raw: RawMessage, unique: str) -> Mail:
        """Return the mail that ``raw`` is, without its body.

        ``unique`` becomes its Message-ID if it has none. The envelope is that of the request, or
        else that of the header. Raises WrongMessage that names every mistake.
        """
        wrong: list[Mistake] = []
        sender, subject, given = _header(wrong, raw)
        to, cc, bcc = self._recipients(wrong, raw)
        return_path = self._reverse_path(wrong, raw)
        if not wrong:
            wrong += wrong_number(len(to) + len(cc) + len(bcc))
        if wrong:
            raise WrongMessage(wrong)
        return Mail(
            sender=sender,
            to=to,
            cc=cc,
            bcc=bcc,
            subject=subject,
            body="",
            content_type="plain",
            message_id=given or f"<{unique}@{sender.email.rpartition('@')[2]}>",
            return_path=return_path,
            not_before=self.deferred_ts,
        )

    def _recipients(self, wrong: list[Mistake], raw: RawMessage) -> Iterator[tuple[Address, ...]]:
        """Return the recipients of the envelope, as To, Cc and Bcc.

        An empty list that is given has nobody in it: only null means the header.
        """
        values = [getattr(self, name) for name in RECIPIENTS]
        if any(value is not None for value in values):
            return iter(
                [
                    collected(wrong, name, parse_mailboxes, value, ())
                    for name, value in zip(RECIPIENTS, values, strict=True)
                ]
            )
        return iter(_envelope_recipients(wrong, raw))

    def _reverse_path(self, wrong: list[Mistake], raw: RawMessage) -> str | None:
        """Return the envelope sender if it is not the From of the message."""
        if self.return_path is not None:
            path = collected(wrong, "return_path", reverse_path, self.return_path, None)
            if self.sender is not None:
                collected(wrong, "from", parse_mailbox, self.sender, NOBODY)
            return path
        if self.sender is not None:
            return collected(wrong, "from", parse_mailbox, self.sender, NOBODY).email
        return collected(wrong, "raw", _agent, raw, None)


def header_of(raw: RawMessage) -> tuple[Address, str, str | None]:
    """Return From, Subject and Message-ID of a message; raises WrongMessage."""
    wrong: list[Mistake] = []
    found = _header(wrong, raw)
    if wrong:
        raise WrongMessage(wrong)
    return found


def envelope_sender(raw: RawMessage) -> str | None:
    """Return the envelope sender that a header gives if it is not the From; else None.

    Raises WrongMessage.
    """
    wrong: list[Mistake] = []
    found = collected(wrong, "raw", _agent, raw, None)
    if wrong:
        raise WrongMessage(wrong)
    return found


def recipients_of(raw: RawMessage) -> list[tuple[Address, ...]]:
    """Return the addresses in To, Cc and Bcc of a header; raises WrongMessage."""
    wrong: list[Mistake] = []
    found = _envelope_recipients(wrong, raw)
    wrong = wrong or wrong_number(sum(map(len, found)))
    if wrong:
        raise WrongMessage(wrong)
    return found


def _envelope_recipients(wrong: list[Mistake], raw: RawMessage) -> list[tuple[Address, ...]]:
    return [collected(wrong, "raw", _recipients_in, (raw, name), ()) for name in _TO]


def _header(wrong: list[Mistake], raw: RawMessage) -> tuple[Address, str, str | None]:
    return (
        collected(wrong, "raw", _author, raw, NOBODY),
        collected(wrong, "raw", _subject, raw, ""),
        collected(wrong, "raw", _message_id, raw, None),
    )


#: Fields of the header, as the error names them.
_TO = ("To", "Cc", "Bcc")
#: A message that was sent again has these, and its To and From are those of the first time.
_RESENT_TO = ("Resent-To", "Resent-Cc", "Resent-Bcc")
_RESENT_FROM = ("Resent-From", "Resent-Sender")


def _bounded(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > most:
            text = f"has more than {most} octets; allowed: {most}"
            raise WrongMessage([mistake("raw", text)], RejectionCode.TOO_LARGE)
        yield piece


def _addresses(raw: RawMessage, name: str, most: int) -> list[Address]:
    """Return the first addresses in all fields of a name, at most ``most``.

    Raises ValueError with the name.
    """
    found: list[Address] = []
    try:
        for text in raw.texts(name.lower()):
            found += islice(addresses_in(text), most - len(found))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return found


def _author(raw: RawMessage) -> Address:
    """Return the first address of From."""
    found = _addresses(raw, "From", 1)
    if not found:
        has_one = raw.text("from") is not None
        raise ValueError("From: an address is missing" if has_one else "has no From")
    return found[0]


def _agent(raw: RawMessage) -> str | None:
    """Return the address of Sender if From names several, else None."""
    _refuse_resent(raw, _RESENT_FROM, "from")
    try:
        if len(_addresses(raw, "From", 2)) < 2:
            return None
    except ValueError:
        return None  # the mistake is noted already
    found = _addresses(raw, "Sender", 1)
    if not found:
        raise ValueError("From names several addresses, and there is no Sender; give `from`")
    return found[0].email


def _recipients_in(field: tuple[RawMessage, str]) -> tuple[Address, ...]:
    raw, name = field
    if name == _TO[0]:
        _refuse_resent(raw, _RESENT_TO, "to")
    return tuple(_addresses(raw, name, MOST_RECIPIENTS + 1))


def _refuse_resent(raw: RawMessage, names: tuple[str, ...], instead: str) -> None:
    """Raise ValueError if the message was sent again: its header has two envelopes."""
    for name in names:
        if raw.text(name.lower()) is not None:
            raise ValueError(f"has {name}, so its header may mean two envelopes; give `{instead}`")


def _subject(raw: RawMessage) -> str:
    text = decoded_words(raw.text("subject") or "")
    size = len(text.encode())
    if size > LONGEST_SUBJECT:
        raise ValueError(f"Subject: {size} octets; allowed: {LONGEST_SUBJECT}")
    return text


def _message_id(raw: RawMessage) -> str | None:
    """Return the Message-ID without comments, or None if there is none."""
    text = raw.text("message-id")
    if text is None:
        return None
    if not text:
        raise ValueError("Message-ID is empty; leave it out to get one")
    if len(text.encode()) > _LONGEST_MESSAGE_ID:
        raise ValueError(f"Message-ID: more than {_LONGEST_MESSAGE_ID} octets")
    found = _MESSAGE_ID.search(text)
    return _COMMENT_OR_BLANK.sub("", found[0]) if found else text


#: Fields that say what ``raw`` says itself.
_INSTEAD = frozenset(
    field.alias or name for name, field in MessageIn.model_fields.items()
) - frozenset(field.alias or name for name, field in RawMessageIn.model_fields.items())


def read_raw_record(
    record: Mapping[str, Any], model: type[Whole], field: str
) -> Whole | list[Mistake]:
    """Return the message of a record, or its wrong fields.

    ``field`` is ``raw`` or ``raw_path``, the one of both that it has.
    """
    given = {
        name: value
        for name, value in record.items()
        if name not in _INSTEAD or (value is not None and value not in ([], {}))
    }
    wrong = [
        mistake(name, f"not together with {field}, which is the whole message")
        for name in given
        if name in _INSTEAD
    ]
    rest = {name: value for name, value in given.items() if name not in _INSTEAD}
    try:
        message = model.model_validate(rest)
    except ValidationError as error:
        return [*wrong, *of_validation(error, model)]
    return wrong or message


def wrong_raw(record: Mapping[str, Any], most_octets: int) -> list[Mistake]:
    """Return the mistakes in ``raw`` of a message that is rejected anyway."""
    alone: dict[str, Any] = {"id": "-", "raw": record["raw"]}
    if any(record.get(name) is not None for name in RECIPIENTS):
        alone["to"] = "somebody@example.org"
    if record.get("from") is not None or record.get("return_path") is not None:
        alone["return_path"] = ""
    try:
        message = RawMessageIn.model_validate(alone)
        message.mail(message.message(most_octets), "-")
    except WrongMessage as error:
        return error.wrong
    except ValidationError as error:
        return of_validation(error, RawMessageIn)
    return []
