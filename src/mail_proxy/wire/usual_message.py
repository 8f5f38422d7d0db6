"""Usual messages: one plain recipient and a short text in ASCII.

Most messages are like that. They are recognized with a few regular expressions, at a fifth of the
price of ``MessageIn``, which reads every other message and names every mistake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from mail_proxy.wire.addresses import is_plain_address
from mail_proxy.wire.new_messages import MessageIn

_REQUIRED = frozenset({"id", "from", "to", "subject"})
_FIELDS = _REQUIRED | {"body", "tenant_id", "account_id", "batch_code", "priority"}
_IDENTIFIER = re.compile(r"[!-~]{1,255}")
_LINE = re.compile(r"[ -~]{0,990}")
_MOST_CHARACTERS = 8_000


@dataclass(slots=True)
class UsualMessage:
    """Message with the attributes of ``MessageIn`` that intake reads.

    The last three are always empty.
    """

    id: str
    tenant_id: str | None
    account_id: str | None
    sender: str
    to: str
    subject: str
    body: str
    priority: int | None
    batch_code: str | None

    message_id: ClassVar[None] = None
    deferred_ts: ClassVar[None] = None
    expires_ts: ClassVar[None] = None

    def in_full(self) -> MessageIn:
        """Return the same message as a ``MessageIn``."""
        record: dict[str, Any] = {
            "id": self.id,
            "from": self.sender,
            "to": self.to,
            "subject": self.subject,
            "body": self.body,
            "tenant_id": self.tenant_id,
            "account_id": self.account_id,
            "priority": self.priority,
            "batch_code": self.batch_code,
        }
        given = {name: value for name, value in record.items() if value is not None}
        return MessageIn.model_validate(given)


def usual_message(record: Any) -> UsualMessage | None:
    """Return the message if ``record`` is a usual one, else None.

    None says nothing about mistakes.
    """
    if type(record) is not dict or not (_REQUIRED <= record.keys() <= _FIELDS):
        return None
    get = record.get
    to, body, priority = record["to"], get("body", ""), get("priority")
    if type(to) is list and len(to) == 1:
        to = to[0]
    if (
        type(to) is not str
        or not is_plain_address(to)
        or type(body) is not str
        or not body.isascii()
        or "\0" in body
        or len(body) > _MOST_CHARACTERS
        or not (priority is None or (type(priority) is int and 0 <= priority <= 3))
    ):
        return None
    id_, sender, subject = record["id"], record["from"], record["subject"]
    for line in (sender, subject):
        if type(line) is not str or _LINE.fullmatch(line) is None:
            return None
    places = get("tenant_id"), get("account_id"), get("batch_code")
    for text in (id_, *places):
        if text is not None and (type(text) is not str or _IDENTIFIER.fullmatch(text) is None):
            return None
    if id_ is None:
        return None
    tenant_id, account_id, batch_code = places
    return UsualMessage(id_, tenant_id, account_id, sender, to, subject, body, priority, batch_code)
