"""Checked messages of a call, before they have an account and are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mail_proxy.domain.certified import MailShape, shape_of
from mail_proxy.domain.long_text import LongText
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.composing import check_headers, raw_form, stored_form, usual_form
from mail_proxy.operations.message_places import wrong_place
from mail_proxy.operations.unsubscribe_links import Subscription, UnsubscribeLinks
from mail_proxy.sql.directory import Snapshot
from mail_proxy.sql.messages.attachment_logins import AttachmentLogins
from mail_proxy.sql.messages.large_content import LargeContent
from mail_proxy.sql.messages.mail_codec import dump_head
from mail_proxy.wire.batches import (
    NewMessageIn,
    ParsedBatch,
    RejectedOut,
    Rejection,
    wrong_addresses,
)
from mail_proxy.wire.new_messages import MessageIn
from mail_proxy.wire.new_raw_messages import RawMessageIn, wrong_raw
from mail_proxy.wire.raw_paths import RawPathIn
from mail_proxy.wire.usual_message import UsualMessage

#: Characters of base64 that a short address takes.
_ADDRESS_IN_BASE64 = 20
#: Characters of a body that take as long to check and write as an address.
_CHARACTERS_AS_ONE = 20_000


@dataclass(slots=True)
class Draft:
    """A checked message; its account is looked up when it is stored.

    ``shape`` is for PEC accounts; None for a message that they may send in any case.
    """

    request: NewMessageIn
    tenant_id: str
    pk: str
    recipients: str
    subject: str
    message_id: str | None
    content: str | LargeContent
    head: str | None
    size: int
    priority: int
    has_login: bool = False
    shape: MailShape | None = None


def new_draft(
    message: NewMessageIn,
    pk: str,
    tenant_id: str,
    usual_priority: int,
    most_octets: int,
    logins: AttachmentLogins,
    links: UnsubscribeLinks,
) -> Draft:
    """Check a message and write its stored form.

    ``most_octets`` is how many a raw message may have, ``logins`` seals those of attachments.
    ``links`` are those to unsubscribe. Raises WrongMessage with every mistake.
    """
    priority = usual_priority if message.priority is None else message.priority
    if isinstance(message, UsualMessage):
        content = usual_form(message, pk)
        if content is not None:
            to, subject, size = message.to, message.subject, len(content)
            return Draft(message, tenant_id, pk, to, subject, None, content, None, size, priority)
        message = message.in_full()
    elif isinstance(message, RawMessageIn):
        return _raw_draft(message, pk, tenant_id, priority, most_octets)
    if isinstance(message, MessageIn):
        mail = message.mail(pk, lambda address: _page(links, tenant_id, message.id, address))
    else:
        mail = message.mail(pk)
    check_headers(mail)
    if mail.attachments:
        mail = logins.sealed(mail, tenant_id, message.id)
    shape = shape_of(mail)
    form = stored_form(mail, message.id)
    head = dump_head(mail, form)
    size = len(form.encode()) if isinstance(form, str) and not form.isascii() else len(form)
    if head is not None and isinstance(message, MessageIn):
        # ``form`` has the bodies: a large call would hold them twice until it is stored.
        message.body, message.body_html, message.attachments = "", None, []
    recipients, given = " ".join(mail.recipients), message.message_id
    has_login = any(each.auth is not None for each in mail.attachments)
    return Draft(
        *(message, tenant_id, pk, recipients, mail.subject, given, form, head, size, priority),
        has_login=has_login,
        shape=shape,
    )


def _page(links: UnsubscribeLinks, tenant_id: str, id_: str, address: str) -> str:
    if links.mistake is not None:
        raise ValueError(links.mistake)
    return links.url(Subscription(tenant_id, id_, address))


def _raw_draft(
    message: RawMessageIn, pk: str, tenant_id: str, priority: int, most_octets: int
) -> Draft:
    raw = message.message(most_octets)
    mail = message.mail(raw, pk)
    content = raw_form(mail, raw, message.id)
    message.raw = ""  # ``content`` has the octets
    recipients = " ".join(mail.recipients)
    given = None if raw.text("message-id") is None else mail.message_id
    head, size = dump_head(mail, content), len(content)
    shape = shape_of(mail, len(raw.head) + sum(map(len, raw.body)))
    return Draft(
        *(message, tenant_id, pk, recipients, mail.subject, given, content, head, size, priority),
        shape=shape,
    )


def completed(
    rejection: Rejection,
    caller: Caller,
    batch: ParsedBatch,
    snapshot: Snapshot,
    most_octets: int,
) -> Rejection:
    """Return the rejection of a message with the mistakes in its other fields."""
    record = rejection.record
    if record is None:
        return rejection
    named = record.get("tenant_id") or batch.tenant_id
    known = {m["field"] for m in rejection.wrong}
    place = wrong_place(caller, named, record.get("account_id"), snapshot)
    more = [*wrong_addresses(rejection), *(m for m in place if m["field"] not in known)]
    if isinstance(record.get("raw"), str | LongText) and "raw" not in known:
        more += wrong_raw(record, most_octets)
    return replace(rejection, wrong=[*rejection.wrong, *more])


def rejected_out(rejection: Rejection) -> RejectedOut:
    """Return a rejection as the answer shows it."""
    return RejectedOut(id=rejection.id, reason=rejection.reason, code=rejection.code)


def price_of(messages: Sequence[NewMessageIn | Rejection]) -> int:
    """Return the number of messages, addresses and pieces of bodies, or more.

    A text counts by its commas, a raw message by its length.
    """
    return sum(
        2
        if isinstance(m, UsualMessage)
        else 1
        + sum(_addresses(field) for field in (m.to, m.cc, m.bcc, m.reply_to))
        + (
            len(m.body)
            + len(m.body_html or "")
            + sum(len(each.storage_path) for each in m.attachments)
        )
        // _CHARACTERS_AS_ONE
        if isinstance(m, MessageIn)
        else 1 + sum(map(_addresses, (m.to, m.cc, m.bcc))) + len(m.raw) // _ADDRESS_IN_BASE64
        if isinstance(m, RawMessageIn | RawPathIn)
        else 1 + sum(map(_price_in_record, (m.record or {}).items()))
        for m in messages
    )


def _price_in_record(item: tuple[str, Any]) -> int:
    name, value = item
    is_raw = name == "raw" and isinstance(value, str | LongText)
    return len(value) // _ADDRESS_IN_BASE64 if is_raw else _addresses(value)


def _addresses(field: Any) -> int:
    if isinstance(field, str):
        return field.count(",") + 1
    return len(field) if isinstance(field, list) else 0
