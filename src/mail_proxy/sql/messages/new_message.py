"""A message to be stored, and the columns of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mail_proxy.domain.message import MessageState
from mail_proxy.sql.adapters import Shape
from mail_proxy.sql.messages.large_content import LargeContent

MESSAGE: Shape = (
    ("pk", "uuid"),
    ("tenant_id", "text"),
    ("id", "text"),
    ("account_pk", "uuid"),
    ("state", "text"),
    ("priority", "integer"),
    ("due_at", "double precision"),
    ("created_at", "double precision"),
    ("size", "integer"),
    ("batch_code", "text"),
    ("expires_at", "double precision"),
    ("client_message_id", "text"),
)
# "WHERE true" keeps ON CONFLICT from being read as a join condition.
INSERT = (
    f"INSERT INTO message ({', '.join(name for name, _ in MESSAGE)}) "
    f"SELECT {', '.join(f'rows.{name}' for name, _ in MESSAGE)} FROM rows WHERE true "
    "ON CONFLICT (tenant_id, id) DO NOTHING"
)
PAYLOAD: Shape = (
    ("pk", "uuid"),
    ("recipients", "text"),
    ("subject", "text"),
    ("content", "text"),
)


@dataclass(slots=True)  # frozen, it would take three times as long to make
class NewMessage:
    """A validated message, ready to be stored.

    ``content`` is the stored form of the mail (``mail_codec``): everything that the client gave for
    it, so that equal contents mean the same request. A Message-ID that the proxy makes holds the
    ``pk``.
    ``recipients`` are its addresses joined by spaces.
    ``size`` is the length of ``content`` in bytes: what a claimed message takes in memory, which
    delivery bounds. It is not the size of the composed mail. Instants are Unix seconds.
    ``head`` is the content without bodies, if it is large.
    """

    pk: str
    tenant_id: str
    id: str
    account_pk: str
    priority: int
    due_at: float
    created_at: float
    batch_code: str | None
    expires_at: float | None
    client_message_id: str | None
    recipients: str
    subject: str
    content: str | LargeContent
    size: int
    head: str | None = None


def message_row(m: NewMessage) -> tuple[Any, ...]:
    """Return the row of a message in the table ``message``."""
    return (
        m.pk,
        m.tenant_id,
        m.id,
        m.account_pk,
        MessageState.PENDING,
        m.priority,
        m.due_at,
        m.created_at,
        m.size,
        m.batch_code,
        m.expires_at,
        m.client_message_id,
    )
