"""Batches of messages that clients hand in: reading, rejections and answers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel, Field, ValidationError

from mail_proxy.errors import TooLarge
from mail_proxy.wire.addresses import parse_mailbox, parse_mailboxes
from mail_proxy.wire.fields import Answer, Identifier, Priority, Request
from mail_proxy.wire.json_bounds import refuse_too_many_values
from mail_proxy.wire.json_steps import NotJson, load_in_steps
from mail_proxy.wire.message_bounds import NOT_TEXTS, beyond_bounds
from mail_proxy.wire.mistakes import (
    NO_OBJECT,
    Mistake,
    malformed,
    mistake,
    of_validation,
    sentence,
    unknown_field,
    without_surrogates,
)
from mail_proxy.wire.new_messages import (
    LISTS_OF_ADDRESSES,
    MessageIn,
    RejectionCode,
    collected,
    reverse_path,
)
from mail_proxy.wire.new_raw_messages import RawMessageIn, read_raw_record
from mail_proxy.wire.raw_paths import RawPathIn, in_base64
from mail_proxy.wire.usual_message import UsualMessage, usual_message

#: In one call. A value takes up to a microsecond to parse, and about 100 octets of memory.
_MOST_VALUES = 250_000
#: A larger body, and one with more values, is parsed in steps: otherwise the event loop would stand
#: still for more than 20 ms. Most bodies are smaller, and faster to parse at once.
_MOST_BYTES_AT_ONCE = 4_000_000
_MOST_VALUES_AT_ONCE = 100_000
#: A message to queue, in each form.
NewMessageIn = UsualMessage | MessageIn | RawMessageIn | RawPathIn
#: Models of messages that have one of these fields instead of the parts of a mail.
_RAW_MODELS: dict[str, type[RawMessageIn | RawPathIn]] = {
    "raw": RawMessageIn,
    "raw_path": RawPathIn,
}
#: An id that is too long is shown in the rejection, unless it is longer than this.
_LONGEST_SHOWN_ID = 1000


class AddMessages(Request):
    """A batch of messages to queue."""

    messages: list[MessageIn | RawMessageIn | RawPathIn] = Field(
        description="Messages; at most max_enqueue_batch."
    )
    tenant_id: Identifier | None = Field(
        None, description="For messages that name none. Optional as in a message."
    )
    default_priority: Priority | None = Field(
        None, description="For messages of this call that give no priority."
    )


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message that cannot be queued. ``id`` is None if it has no readable id.

    Then ``place`` says which message of the call it is. ``record`` is the message as it was
    given; it is kept while its other fields are not checked yet.
    """

    id: Any
    wrong: list[Mistake]
    code: RejectionCode = RejectionCode.MALFORMED
    place: str = ""
    record: dict[str, Any] | None = None

    @property
    def reason(self) -> str:
        """Every mistake in one line."""
        if not self.place:
            return sentence(self.wrong)
        return sentence(
            [
                {**m, "field": f"{self.place}.{m['field']}" if m["field"] else self.place}
                for m in self.wrong
            ]
        )


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    """The messages of one call, valid or not, in order.

    ``tenant_id`` is for the messages that name none.
    """

    messages: list[NewMessageIn | Rejection]
    default_priority: int | None
    tenant_id: str | None = None


def parse_batch(body: bytes | bytearray | dict[str, Any], most: int) -> ParsedBatch:
    """Read an add-messages body; a wrong message does not affect the others.

    Raises Malformed when the body as a whole cannot be understood, TooLarge for more than
    ``most`` messages, or 250 000 values in all.
    """
    record = body if isinstance(body, dict) else _read_object(body)
    names = tuple(AddMessages.model_fields)
    wrong = [mistake(name, unknown_field(name, names)) for name in record if name not in names]
    messages = record.get("messages")
    if not isinstance(messages, list):
        message = "must be a list" if "messages" in record else "required"
        raise malformed(*wrong, mistake("messages", message))
    if wrong:
        raise malformed(*wrong)
    if len(messages) > most:
        raise TooLarge(f"{len(messages)} messages in one call; allowed: {most}")
    priority = tenant_id = None
    if len(record) > 1:
        rest = AddMessages.model_validate({**record, "messages": []})
        priority, tenant_id = rest.default_priority, rest.tenant_id
    parsed = [_parse(place, record) for place, record in enumerate(messages)]
    return ParsedBatch(parsed, priority, tenant_id)


def _read_object(body: bytes | bytearray) -> dict[str, Any]:
    """Return the JSON object in ``body``; raises Malformed if it is none."""
    is_ordinary = (
        refuse_too_many_values(body, _MOST_VALUES) <= _MOST_VALUES_AT_ONCE
        and len(body) <= _MOST_BYTES_AT_ONCE
    )
    try:
        record = _load(body, is_ordinary)
    except NotJson as error:
        raise malformed(mistake("body", str(error))) from None
    if not isinstance(record, dict):
        raise malformed(mistake("body", NO_OBJECT))
    return record


def _load(body: bytes | bytearray, is_ordinary: bool) -> Any:
    if is_ordinary:
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(body)
    return load_in_steps(body)


def _parse(place: int, record: Any) -> NewMessageIn | Rejection:
    usual = usual_message(record)
    if usual is not None:
        return usual
    beyond = beyond_bounds(record)
    if beyond is not None:
        is_bound = beyond[1] != NOT_TEXTS
        code = RejectionCode.TOO_LARGE if is_bound else RejectionCode.MALFORMED
        return _rejection(place, record, [mistake(*beyond)], code)
    if isinstance(record, dict) and not _RAW_MODELS.keys().isdisjoint(record):
        record = _without_nulls(record, _RAW_MODELS)
        record = in_base64(record) or record
        field = next((name for name in _RAW_MODELS if name in record), None)
        if field is not None:
            found = read_raw_record(record, _RAW_MODELS[field], field)
            return _rejection(place, record, found) if isinstance(found, list) else found
    try:
        return MessageIn.model_validate(record)
    except ValidationError as error:
        return _rejection(place, record, of_validation(error, MessageIn))


def _without_nulls(record: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return a record without those of the named fields that are null."""
    absent = {name for name in names if record.get(name) is None}
    return {name: value for name, value in record.items() if name not in absent}


def _rejection(
    place: int,
    record: Any,
    wrong: list[Mistake],
    code: RejectionCode = RejectionCode.MALFORMED,
) -> Rejection:
    if not isinstance(record, dict):
        return Rejection(None, wrong, code, f"messages.{place}")
    id_ = record.get("id")
    kept = record if code is RejectionCode.MALFORMED else None
    if isinstance(id_, str) and len(id_) <= _LONGEST_SHOWN_ID and id_ == without_surrogates(id_):
        return Rejection(id_, wrong, code, record=kept)
    return Rejection(None, wrong, code, f"messages.{place}", kept)


def wrong_addresses(rejection: Rejection) -> list[Mistake]:
    """Return mistakes in the addresses of a message that is rejected anyway."""
    wrong: list[Mistake] = []
    record = rejection.record or {}
    known = {m["field"].partition(".")[0] for m in rejection.wrong}
    for name in LISTS_OF_ADDRESSES:
        value = record.get(name)
        if name not in known and (isinstance(value, str) or _is_texts(value)):
            collected(wrong, name, parse_mailboxes, value, ())
    for name, parse in (("from", parse_mailbox), ("return_path", reverse_path)):
        value = record.get(name)
        if name not in known and isinstance(value, str):
            collected(wrong, name, parse, value, None)
    return wrong


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


class RejectedOut(BaseModel):
    """A message that was not queued, and why."""

    id: str | None = Field(description="Id of the message; null if it has no readable id.")
    reason: str = Field(description="Every wrong field, and what is wrong with it.")
    code: RejectionCode = Field(description="Stable name of the reason.")


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
