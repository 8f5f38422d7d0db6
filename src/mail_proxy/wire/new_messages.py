"""Messages that clients hand in: parsing, checks, and the answer to the call."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mail_proxy.domain.header_fields import HEADER_FIELDS, reserved
from mail_proxy.domain.mail import Mail
from mail_proxy.errors import Malformed, TooLarge
from mail_proxy.wire.addresses import parse_mailbox, parse_mailboxes
from mail_proxy.wire.fields import (
    NO_OBJECT,
    Answer,
    Content,
    Identifier,
    OneLine,
    Priority,
    Redacted,
    Request,
    Timestamp,
    detail_of,
    field_name,
    mistake,
    unknown_field,
    without_surrogates,
)
from mail_proxy.wire.json_bounds import has_more_separators, refuse_too_many_values
from mail_proxy.wire.json_steps import NotJson, load_in_steps
from mail_proxy.wire.message_bounds import MOST_RECIPIENTS, beyond_bounds

_HEADER_NAME = re.compile(r"[!-9;-~]{1,76}")
_MESSAGE_ID = re.compile(r"<[^<>\s@]+@[^<>\s@]+>")
Parsed = TypeVar("Parsed")
Recipients = list[OneLine] | OneLine
#: In one call. A value takes up to a microsecond to parse, and about 100 octets of memory.
_MOST_VALUES = 250_000
#: A larger body, and one with more values, is parsed in steps: otherwise the event loop would stand
#: still for more than 20 ms. Most bodies are smaller, and faster to parse at once.
_MOST_BYTES_AT_ONCE = 4_000_000
_MOST_VALUES_AT_ONCE = 100_000
#: An id that is too long is shown in the rejection, unless it is longer than this.
_LONGEST_SHOWN_ID = 1000


class MessageIn(Request):
    """A mail to queue."""

    id: Identifier = Field(description="The client's own identifier, unique per tenant.")
    tenant_id: Identifier | None = Field(
        None, description="Optional with a tenant key, or if there is only one tenant."
    )
    account_id: Identifier | None = Field(
        None, description="Default: the tenant's default account, or its only one."
    )
    sender: OneLine = Field(alias="from", description="Sender: a@b or Name <a@b>.")
    to: Recipients = Field(
        default_factory=list, description="A list, or one text with commas; 1000 with cc and bcc."
    )
    cc: Recipients = Field(default_factory=list, description="Copies; form as `to`.")
    bcc: Recipients = Field(
        default_factory=list, description="Blind copies; form as `to`. They are in no header."
    )
    reply_to: Recipients = Field(default_factory=list, description="Reply-To; at most 1000.")
    return_path: OneLine | None = Field(
        None, description="Envelope sender; default: `from`; empty or <>: none."
    )
    message_id: OneLine | None = Field(None, description="Message-ID; generated if absent.")
    subject: OneLine = Field(description="Subject; may be empty; at most 4000 octets.")
    body: Content = Field("", description="Text of the mail.")
    content_type: Literal["plain", "html"] = Field("plain", description="Format of `body`.")
    body_html: Content | None = Field(
        None,
        description="HTML alternative to a plain `body`; without one, an HTML mail. Empty: none.",
    )
    headers: dict[str, OneLine] = Field(default_factory=dict, description="At most 100.")
    priority: Priority | None = Field(None, description="0-3 or immediate, high, medium, low.")
    deferred_ts: Timestamp | None = Field(None, description="Do not send before this time.")
    expires_ts: Timestamp | None = Field(None, description="Do not send after this time.")
    batch_code: Identifier | None = Field(
        None, description="Batch (campaign) that the message belongs to."
    )
    attachments: Annotated[list[dict[str, Any]], Field(max_length=0), Redacted()] = Field(
        default_factory=list, description="Not available in this version: must be empty."
    )

    @field_validator(
        *("to", "cc", "bcc", "reply_to", "body", "content_type", "headers", "attachments"),
        mode="before",
    )
    @classmethod
    def _absent(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None or info.field_name is None:
            return value
        return cls.model_fields[info.field_name].get_default(call_default_factory=True)

    @field_validator("headers")
    @classmethod
    def _allowed_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        """Refuse reserved names and repeated fields; leave out headers without a value."""
        seen = set()
        for name in headers:
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name[:80]!r} is not a header name (RFC 5322)")
            lower = name.lower()
            instead = reserved(lower)
            if instead is not None:
                raise ValueError(f"{name} cannot be given: {instead}")
            if lower in seen and lower in HEADER_FIELDS and HEADER_FIELDS[lower].once:
                raise ValueError(f"{name} is given twice; it may stand once in a mail")
            seen.add(lower)
        trimmed = ((name, value.strip(" \t")) for name, value in headers.items())
        return {name: value for name, value in trimmed if value}

    @field_validator("message_id")
    @classmethod
    def _angled(cls, value: str | None) -> str | None:
        if value is None:
            return None
        angled = value if value.startswith("<") else f"<{value}>"
        if not _MESSAGE_ID.fullmatch(angled) or len(angled) > 250:
            raise ValueError("must look like <left@right>, at most 250 characters")
        return angled

    @field_validator("body_html")
    @classmethod
    def _no_blank_part(cls, value: str | None) -> str | None:
        """Return None for a blank HTML part, which would hide the text.

        Readers show the last part that they know.
        """
        return None if value is None or not value or value.isspace() else value

    @model_validator(mode="after")
    def _consistent(self) -> MessageIn:
        if self.body_html is not None and self.content_type == "html":
            raise ValueError("body_html: goes with a plain body only")
        if self.reply_to and any(name.lower() == "reply-to" for name in self.headers):
            raise ValueError("headers: Reply-To and the field reply_to cannot both be given")
        return self

    def mail(self, unique: str) -> Mail:
        """Return the mail; ``unique`` becomes its Message-ID if the client gave none.

        Raises ValueError that names the field with the wrong address.
        """
        fields = (("to", self.to), ("cc", self.cc), ("bcc", self.bcc))
        to, cc, bcc = (_parsed(name, parse_mailboxes, value) for name, value in fields)
        total = len(to) + len(cc) + len(bcc)
        if not 1 <= total <= MOST_RECIPIENTS:
            raise ValueError(f"to, cc, bcc: {total} recipients; allowed: 1-{MOST_RECIPIENTS}")
        sender = _parsed("from", parse_mailbox, self.sender)
        is_html_only = self.body_html is not None and (not self.body or self.body.isspace())
        return Mail(
            sender=sender,
            to=to,
            cc=cc,
            bcc=bcc,
            subject=self.subject,
            body=self.body_html or "" if is_html_only else self.body,
            content_type="html" if is_html_only else self.content_type,
            message_id=self.message_id or f"<{unique}@{sender.email.rpartition('@')[2]}>",
            body_html=None if is_html_only else self.body_html,
            reply_to=_parsed("reply_to", parse_mailboxes, self.reply_to),
            return_path=_return_path(self.return_path),
            headers=tuple(self.headers.items()),
            not_before=self.deferred_ts,
        )


class AddMessages(Request):
    """A batch of messages to queue."""

    messages: list[MessageIn] = Field(description="Messages; at most max_enqueue_batch.")
    default_priority: Priority | None = Field(
        None, description="For messages of this call that give no priority."
    )


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message that cannot be queued. ``id`` is None if it has no readable id."""

    id: Any
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    """The messages of one call, valid or not, in order."""

    messages: list[MessageIn | Rejection]
    default_priority: int | None


def parse_batch(body: bytes | bytearray | dict[str, Any], most: int) -> ParsedBatch:
    """Read an add-messages body; a wrong message does not affect the others.

    Raises Malformed when the body as a whole cannot be understood, TooLarge for more than
    ``most`` messages, or 250 000 values in all.
    """
    if not isinstance(body, dict):
        refuse_too_many_values(body, _MOST_VALUES)
    record = read_object(body)
    unknown = [name for name in record if name not in ("messages", "default_priority")]
    if unknown:
        detail = detail_of(unknown, lambda name: mistake(name, "unknown field"))
        raise Malformed(f"unknown field: {detail[0]['field']}", detail)
    messages = record.get("messages")
    if not isinstance(messages, list):
        raise Malformed("messages: must be a list", [mistake("messages", "must be a list")])
    if len(messages) > most:
        raise TooLarge(f"{len(messages)} messages in one call; allowed: {most}")
    rest = AddMessages.model_validate({**record, "messages": []})
    parsed = [_parse(place, record) for place, record in enumerate(messages)]
    return ParsedBatch(parsed, rest.default_priority)


def read_object(body: bytes | bytearray | dict[str, Any]) -> dict[str, Any]:
    """Return the JSON object in ``body``; raises Malformed if it is none."""
    if isinstance(body, dict):
        return body
    try:
        record = _load(body)
    except NotJson as error:
        raise Malformed(f"body: {error}", [mistake("body", str(error))]) from None
    if not isinstance(record, dict):
        raise Malformed(f"body: {NO_OBJECT}", [mistake("body", NO_OBJECT)])
    return record


def _load(body: bytes | bytearray) -> Any:
    is_ordinary = len(body) <= _MOST_BYTES_AT_ONCE
    if is_ordinary and not has_more_separators(body, _MOST_VALUES_AT_ONCE):
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(body)
    return load_in_steps(body)


def _parse(place: int, record: Any) -> MessageIn | Rejection:
    reason = beyond_bounds(record)
    if reason is None:
        try:
            return MessageIn.model_validate(record)
        except ValidationError as error:
            reason = explain(error)
    if not isinstance(record, dict):
        return Rejection(None, f"messages.{place}: {reason}")
    id_ = record.get("id")
    if isinstance(id_, str) and len(id_) <= _LONGEST_SHOWN_ID and id_ == without_surrogates(id_):
        return Rejection(id_, reason)
    return Rejection(None, f"messages.{place}.{reason}")


def explain(error: ValidationError) -> str:
    """Describe the first error in one line that names the field and shows no value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = field_name(first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = unknown_field(field.rpartition(".")[2])
    if first["type"] == "model_type":
        message = NO_OBJECT
    return f"{field}: {message}" if field else message


def _return_path(text: str | None) -> str | None:
    """Return the reverse-path; empty or ``<>`` is the null one.

    RFC 5321 section 4.5.5 describes the null reverse-path.
    """
    if text is None:
        return None
    if text.strip() in ("", "<>"):
        return ""
    return _parsed("return_path", parse_mailbox, text).email


def _parsed(field: str, parse: Callable[[Any], Parsed], value: list[str] | str) -> Parsed:
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


class RejectedOut(BaseModel):
    """A message that was not queued, and why."""

    id: str | None = Field(description="Id of the message; null if it has no readable id.")
    reason: str = Field(description="The field, and what is wrong with it.")


class DuplicateOut(BaseModel):
    """A message that was there already. Nothing has changed: the call was repeated."""

    id: str = Field(description="Id of the message.")
    status: str = Field(description="Its status: pending, deferred, sending, sent or error.")


class AddMessagesOut(Answer):
    """Result of a batch. Queued messages are on disk when this arrives.

    A call may be repeated: messages that are there already come back in `duplicates`, which is
    success.
    """

    queued: int = Field(description="Number of messages that were stored.")
    replaced: int = Field(
        description="How many of `queued` took the place of a waiting message with other content."
    )
    duplicates: list[DuplicateOut] = Field(
        description="Messages that wait with the same content, are being sent, or are finished."
    )
    rejected: list[RejectedOut] = Field(description="Messages that were not stored.")
