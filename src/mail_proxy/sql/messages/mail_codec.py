"""Stored form of a mail, written at intake and read at each attempt.

It is the JSON text of the mail, which each attempt composes. Or, for a small mail in ASCII, the
message as intake has composed it, without its Date. Then ``=`` and the JSON text of the mail
without its body are in a line of their own before it. A raw message begins with ``@``: see
``raw_text``.

A mail with a long body is written as ``LargeContent``, and read from octets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import orjson

from mail_proxy.domain.attachment import Attachment, FetchMode
from mail_proxy.domain.long_text import LongText, pieces_of
from mail_proxy.domain.mail import Address, Mail
from mail_proxy.sql.messages.large_content import LargeContent
from mail_proxy.sql.messages.raw_text import RawText, dump_raw_text, load_raw_text
from mail_proxy.wire.json_steps import load_in_steps

#: Characters that are written at once. ``orjson`` holds the interpreter lock while it writes.
_PIECE = 262_144
#: Place of a long text. In JSON this character is always escaped.
_MARK = b"\0"
#: Content up to this length is listed as it is: a row of its own for the head would cost more.
_SMALL = 10_000
#: Fields that a composed mail leaves out if they are empty.
_RARE: dict[str, Any] = {
    "cc": (),
    "bcc": (),
    "reply_to": (),
    "return_path": None,
    "headers": (),
    "not_before": None,
    "attachments": (),
}
#: The last field of a mail. It is left out if it is empty.
_NO_ATTACHMENTS = b',"attachments":[]}'
#: The composer writes it right behind the Date. No field before it can contain a line end.
_BEHIND_DATE = "\r\nMessage-ID: "


def dump_mail(mail: Mail) -> str:
    """Return the JSON text of a mail without long texts, for ``load_mail``."""
    if mail.attachments:
        return orjson.dumps(_record(mail)).decode()
    return (orjson.dumps(mail).removesuffix(_NO_ATTACHMENTS) + b"}").decode()


def has_long_text(mail: Mail) -> bool:
    """Return whether ``dump_mail`` would hold the interpreter lock for long."""
    return (
        len(mail.body) > _PIECE
        or len(mail.body_html or "") > _PIECE
        or any(len(each.path) > _PIECE for each in mail.attachments)
    )


def dump_long_mail(mail: Mail) -> LargeContent:
    """Return what ``dump_mail`` returns for a mail, in pieces."""
    record, mark = _record(mail), orjson.Fragment(_MARK)
    long: list[str | LongText] = []
    for name in ("body", "body_html"):
        if record[name] is not None:
            long.append(record[name])
            record[name] = mark
    for each in record.get("attachments", ()):
        long.append(each["path"])
        each["path"] = mark
    begin, *others = orjson.dumps(record).split(_MARK)
    pieces = [begin]
    for text, following in zip(long, others, strict=True):
        pieces += (b'"', *_in_pieces(text), b'"', following)
    return LargeContent(tuple(pieces))


def _record(mail: Mail) -> dict[str, Any]:
    record = {each.name: getattr(mail, each.name) for each in fields(mail)}
    del record["attachments"]
    if mail.attachments:
        record["attachments"] = [
            {name: value for name, value in _fields(each) if value is not None}
            for each in mail.attachments
        ]
    return record


def _fields(attachment: Attachment) -> Iterator[tuple[str, Any]]:
    return ((each.name, getattr(attachment, each.name)) for each in fields(attachment))


def _in_pieces(text: str | LongText) -> Iterator[bytes]:
    for piece in pieces_of(text, _PIECE):
        yield orjson.dumps(piece)[1:-1]


def dump_head(mail: Mail, content: str | LargeContent) -> str | None:
    """Return the JSON text of a large mail without its bodies; None for a small one.

    ``content`` is that of the mail. Listings read the head, so that they read no bodies.
    """
    if is_small(content):
        return None
    return dump_mail(replace(mail, body="", body_html=None, attachments=()))


def dump_composed(mail: Mail, before: bytes, after: bytes) -> str:
    """Return the stored form of a message that is composed, except for its Date.

    ``before`` and ``after`` are the octets around the Date, in ASCII; ``after`` begins with the
    Message-ID.
    """
    return b"".join((b"=", orjson.dumps(_without_body(mail)), b"\n", before, after)).decode()


def _without_body(mail: Mail) -> dict[str, Any]:
    record: dict[str, Any] = {
        "sender": mail.sender,
        "to": mail.to,
        "subject": mail.subject,
        "message_id": mail.message_id,
        "content_type": mail.content_type,
    }
    for name, empty in _RARE.items():
        value = getattr(mail, name)
        if value != empty:
            record[name] = value
    return record


def dump_raw(mail: Mail, raw: RawText, pieces: Sequence[bytes]) -> str | LargeContent:
    """Return the stored form of a raw message, which is ``pieces``; all ASCII."""
    return dump_raw_text(_without_body(mail), raw, pieces)


def dump_plain(sender: str, to: str, subject: str, message_id: str, before: str, after: str) -> str:
    """Return what ``dump_composed`` returns for a plain mail to one address.

    ``sender`` is JSON; no other text here but the subject has characters that JSON escapes.
    """
    return (
        f'={{"sender":{sender},"to":[{{"name":"","email":"{to}"}}],'
        f'"subject":{orjson.dumps(subject).decode()},"message_id":"{message_id}",'
        f'"content_type":"plain"}}\n{before}{after}'
    )


def dump_address(address: Address) -> str:
    """Return the JSON text of an address."""
    return orjson.dumps(address).decode()


def is_small(content: str | LargeContent) -> bool:
    """Return whether a stored mail needs no head of its own."""
    return len(content) <= _SMALL


def load_mail(text: str) -> Mail:
    """Return the stored mail; without its bodies if they were not stored as such."""
    return StoredMail(text).mail()


class StoredMail:
    """Mail of a stored text, read as far as it is needed.

    ``composed`` has the octets before and behind the Date if intake has composed the message;
    ``raw`` has those of a raw message.
    """

    __slots__ = ("_record", "composed", "raw")

    def __init__(self, text: str | bytearray) -> None:
        self.composed: tuple[bytes, bytes] | None = None
        self.raw: RawText | None = None
        self._record: dict[str, Any]
        if isinstance(text, bytearray):
            if text.startswith(b"@"):
                self._record, self.raw = load_raw_text(text)
            else:
                self._record = load_in_steps(text)
            return
        if text.startswith("="):
            end = text.index("\n")
            at = text.index(_BEHIND_DATE, end) + 2
            self.composed = text[end + 1 : at].encode(), text[at:].encode()
            text = text[1:end]
        if text.startswith("@"):
            self._record, self.raw = load_raw_text(text)
        else:
            self._record = orjson.loads(text)

    @property
    def has_attachments(self) -> bool:
        """True if the mail has attachments; then it was not composed at intake."""
        return "attachments" in self._record

    @property
    def names_recipients(self) -> bool:
        """False if the recipients are in the header of a message to fetch."""
        record = self._record
        return bool(record["to"] or record.get("cc") or record.get("bcc"))

    @property
    def not_before(self) -> float | None:
        found: float | None = self._record.get("not_before")
        return found

    @property
    def return_path(self) -> str | None:
        found: str | None = self._record.get("return_path")
        return found

    @property
    def envelope_sender(self) -> str:
        record = self._record
        path: str | None = record.get("return_path")
        return record["sender"]["email"] if path is None else path

    @property
    def recipients(self) -> tuple[str, ...]:
        record = self._record
        every = [*record["to"], *record.get("cc", ()), *record.get("bcc", ())]
        return tuple(dict.fromkeys([each["email"] for each in every]))

    def mail(self) -> Mail:
        """Return the mail; with an empty body if it was composed at intake, or is raw."""
        record = {"body": "", **_RARE, **self._record}
        for name in ("to", "cc", "bcc", "reply_to"):
            record[name] = tuple(_address(a) for a in record[name])
        record["sender"] = _address(record["sender"])
        record["headers"] = tuple((name, value) for name, value in record["headers"])
        record["attachments"] = tuple(_attachment(a) for a in record["attachments"])
        return Mail(**record)


def _attachment(record: dict[str, Any]) -> Attachment:
    mode = record.get("mode")
    return Attachment(**record | {"mode": None if mode is None else FetchMode(mode)})


def _address(record: dict[str, str]) -> Address:
    return Address(record["name"], record["email"])
