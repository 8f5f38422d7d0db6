"""Tables of certified mail (PEC): states of messages, and receipts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import BigInteger, Column, Connection, Index, Table, Text, delete, select, text
from sqlalchemy import update as update_of

from mail_proxy.domain.certified import PecStatus, is_news
from mail_proxy.sql.metadata import metadata
from mail_proxy.sql.types import RECORD_ONLY, Instant, Json, Pk, at_most

#: A message whose instant has come is looked at again, so an earlier one does no harm.
_LONGEST_WAIT_SECONDS = 60.0
#: Messages in one statement.
_AT_ONCE = 500

#: A message that was, or is being, handed to a PEC provider. Without a foreign key: receipts are
#: files too, and are removed after their message.
pec_message = Table(
    "pec_message",
    metadata,
    Column("message_pk", Pk, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("begun_at", Instant, info=RECORD_ONLY, nullable=False),
    #: When it is looked at next, by ``PecDeadlines``; NULL if nothing is waited for.
    Column("due_at", Instant, info=at_most(_LONGEST_WAIT_SECONDS), index=True),
    Column("accepted_at", Instant, info=RECORD_ONLY),
    Column("timed_out_at", Instant, info=RECORD_ONLY),
    #: The latest news about each recipient, by address.
    Column("recipients", Json),
    Index("ix_pec_message_tenant_id_message_id", "tenant_id", "message_id"),
)
pec_receipt = Table(
    "pec_receipt",
    metadata,
    Column("message_pk", Pk, primary_key=True),
    Column("sha256", Text, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("at", Instant, info=RECORD_ONLY, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("data", Json, nullable=False),
    Index("ix_pec_receipt_sha256", "sha256"),
)

_BEGIN = text(
    "INSERT INTO pec_message (message_pk, tenant_id, message_id, begun_at, due_at) "
    "VALUES (:pk, :tenant_id, :message_id, :now, :due_at) "
    "ON CONFLICT (message_pk) DO UPDATE SET message_id = excluded.message_id, "
    "begun_at = excluded.begun_at, timed_out_at = NULL, "
    "due_at = CASE WHEN pec_message.accepted_at IS NULL THEN excluded.due_at "
    "ELSE pec_message.due_at END RETURNING accepted_at"
)
_ADD_RECEIPT = text(
    "INSERT INTO pec_receipt (message_pk, sha256, tenant_id, at, size, data) "
    "VALUES (:pk, :sha256, :tenant_id, :now, :size, :data) "
    "ON CONFLICT DO NOTHING RETURNING sha256"
)


@dataclass(frozen=True, slots=True)
class CertifiedMessage:
    """State of a message for its receipts. Instants are Unix seconds.

    ``recipients`` has for each address ``status``, ``ts``, ``error`` and ``error_reason``.
    """

    pk: str
    tenant_id: str
    accepted_at: float | None
    timed_out_at: float | None
    due_at: float | None
    recipients: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Receipt:
    """Receipt of a message: the SHA-256 of its octets, and what it says."""

    sha256: str
    at: float
    size: int
    data: dict[str, Any]


class PecTable:
    """Both tables. A message has a row from its first attempt on."""

    def begin(
        self,
        connection: Connection,
        pk: str,
        tenant_id: str,
        message_id: str,
        now: float,
        due_at: float,
    ) -> bool:
        """Note an attempt with its Message-ID; return whether it was accepted before."""
        values = {"pk": pk, "tenant_id": tenant_id, "message_id": message_id, "now": now}
        row = connection.execute(_BEGIN, {**values, "due_at": due_at}).one()
        return row[0] is not None

    def with_message_id(
        self, connection: Connection, tenant_id: str, message_id: str
    ) -> str | None:
        """Return the last message (pk) that was sent with a Message-ID, or None."""
        c = pec_message.c
        found = select(c.message_pk).where(c.tenant_id == tenant_id, c.message_id == message_id)
        return connection.execute(found.order_by(c.begun_at.desc()).limit(1)).scalar()

    def locked(self, connection: Connection, pk: str) -> CertifiedMessage | None:
        """Return a message, which nobody else changes until the transaction ends."""
        statement = select(pec_message).where(pec_message.c.message_pk == pk).with_for_update()
        row = connection.execute(statement).first()
        return None if row is None else _message(row)

    def among(self, connection: Connection, pks: Sequence[str]) -> dict[str, CertifiedMessage]:
        """Return those of the messages that a PEC account sends, by pk."""
        found: dict[str, CertifiedMessage] = {}
        for start in range(0, len(pks), _AT_ONCE):
            some = pec_message.c.message_pk.in_(pks[start : start + _AT_ONCE])
            for row in connection.execute(select(pec_message).where(some)):
                found[row.message_pk] = _message(row)
        return found

    def due(self, connection: Connection, now: float, limit: int) -> list[str]:
        """Return messages that have to be looked at, the first ones first."""
        c = pec_message.c
        due = select(c.message_pk).where(c.due_at <= now).order_by(c.due_at).limit(limit)
        return list(connection.execute(due).scalars())

    def next_due_at(self, connection: Connection) -> float | None:
        """Return when the next message has to be looked at."""
        c = pec_message.c
        nearest = select(c.due_at).where(c.due_at.is_not(None)).order_by(c.due_at).limit(1)
        return connection.execute(nearest).scalar()

    def change(self, connection: Connection, pk: str, **values: Any) -> None:
        """Write columns of a message."""
        statement = update_of(pec_message).where(pec_message.c.message_pk == pk)
        connection.execute(statement.values(**values))

    def add_receipt(
        self, connection: Connection, pk: str, tenant_id: str, receipt: Receipt
    ) -> bool:
        """Add a receipt of a message; return False if it is there already."""
        values = {
            "pk": pk,
            "sha256": receipt.sha256,
            "tenant_id": tenant_id,
            "now": receipt.at,
            "size": receipt.size,
            "data": orjson.dumps(receipt.data).decode(),
        }
        return connection.execute(_ADD_RECEIPT, values).first() is not None

    def receipts(self, connection: Connection, tenant_id: str, pk: str) -> list[Receipt]:
        """Return the receipts of a message, the oldest first."""
        c = pec_receipt.c
        wanted = select(c.sha256, c.at, c.size, c.data).where(
            c.message_pk == pk, c.tenant_id == tenant_id
        )
        rows = connection.execute(wanted.order_by(c.at, c.sha256))
        return [Receipt(*row) for row in rows]

    def remove_receipt(self, connection: Connection, pk: str, sha256: str) -> bool:
        """Remove a receipt; return whether another message has the same one."""
        c = pec_receipt.c
        connection.execute(delete(pec_receipt).where(c.message_pk == pk, c.sha256 == sha256))
        same = select(c.sha256).where(c.sha256 == sha256).limit(1)
        return connection.execute(same).first() is not None

    def forget(self, connection: Connection, pks: Sequence[str]) -> None:
        """Remove the states of messages."""
        connection.execute(delete(pec_message).where(pec_message.c.message_pk.in_(pks)))


def with_news(
    recipients: dict[str, dict[str, Any]],
    addresses: Sequence[str],
    status: PecStatus,
    news: dict[str, Any],
) -> dict[str, dict[str, Any]]:
    """Return the state of recipients with ``news`` about some addresses."""
    found = dict(recipients)
    names = {address.casefold(): address for address in found}
    for address in addresses:
        name = names.get(address.casefold(), address)
        if is_news(status, found.get(name, {}).get("status")):
            found[name] = {"status": str(status), **news}
    return found


def _message(row: Any) -> CertifiedMessage:
    return CertifiedMessage(
        pk=row.message_pk,
        tenant_id=row.tenant_id,
        accepted_at=row.accepted_at,
        timed_out_at=row.timed_out_at,
        due_at=row.due_at,
        recipients=row.recipients or {},
    )
