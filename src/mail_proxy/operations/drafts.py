"""Checked messages of a call, before they have an account and are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mail_proxy.operations.callers import Caller
from mail_proxy.operations.composing import check_headers, stored_form, usual_form
from mail_proxy.operations.message_places import wrong_place
from mail_proxy.sql.directory import Snapshot
from mail_proxy.sql.messages.large_content import LargeContent
from mail_proxy.sql.messages.mail_codec import dump_head
from mail_proxy.wire.batches import ParsedBatch, RejectedOut, Rejection, wrong_addresses
from mail_proxy.wire.new_messages import MessageIn
from mail_proxy.wire.usual_message import UsualMessage

#: Characters of a body that take as long to check and write as an address.
_CHARACTERS_AS_ONE = 20_000


@dataclass(slots=True)
class Draft:
    """A checked message; its account is looked up when it is stored."""

    request: UsualMessage | MessageIn
    tenant_id: str
    pk: str
    recipients: str
    content: str | LargeContent
    head: str | None
    size: int
    priority: int


def new_draft(
    message: UsualMessage | MessageIn, pk: str, tenant_id: str, usual_priority: int
) -> Draft:
    """Check a message and write its stored form.

    Raises WrongMessage with every mistake.
    """
    priority = usual_priority if message.priority is None else message.priority
    if isinstance(message, UsualMessage):
        content = usual_form(message, pk)
        if content is not None:
            size = len(content)
            return Draft(message, tenant_id, pk, message.to, content, None, size, priority)
        message = message.in_full()
    mail = message.mail(pk)
    check_headers(mail)
    form = stored_form(mail, message.id)
    head = dump_head(mail, form)
    size = len(form.encode()) if isinstance(form, str) and not form.isascii() else len(form)
    if head is not None:
        # ``form`` has the bodies: a large call would hold them twice until it is stored.
        message.body, message.body_html = "", None
    recipients = " ".join(mail.recipients)
    return Draft(message, tenant_id, pk, recipients, form, head, size, priority)


def completed(
    rejection: Rejection, caller: Caller, batch: ParsedBatch, snapshot: Snapshot
) -> Rejection:
    """Return the rejection of a message with the mistakes in its other fields."""
    record = rejection.record
    if record is None:
        return rejection
    named = record.get("tenant_id") or batch.tenant_id
    known = {m["field"] for m in rejection.wrong}
    place = wrong_place(caller, named, record.get("account_id"), snapshot)
    more = [*wrong_addresses(rejection), *(m for m in place if m["field"] not in known)]
    return replace(rejection, wrong=[*rejection.wrong, *more])


def rejected_out(rejection: Rejection) -> RejectedOut:
    """Return a rejection as the answer shows it."""
    return RejectedOut(id=rejection.id, reason=rejection.reason, code=rejection.code)


def price_of(messages: Sequence[UsualMessage | MessageIn | Rejection]) -> int:
    """Return the number of messages, addresses and pieces of bodies, or more.

    A text counts by its commas.
    """
    return sum(
        2
        if isinstance(m, UsualMessage)
        else 1
        + sum(_addresses(field) for field in (m.to, m.cc, m.bcc, m.reply_to))
        + (len(m.body) + len(m.body_html or "")) // _CHARACTERS_AS_ONE
        if isinstance(m, MessageIn)
        else 1 + sum(map(_addresses, (m.record or {}).values()))
        for m in messages
    )


def _addresses(field: Any) -> int:
    if isinstance(field, str):
        return field.count(",") + 1
    return len(field) if isinstance(field, list) else 0
