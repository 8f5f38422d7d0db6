"""Rows for tests, written as the proxy itself writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mail_proxy.kit.ids import Uuid7Maker, uuid7
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.messages.events import NewEvent
from mail_proxy.sql.messages.insert import NewMessage
from mail_proxy.sql.tables import Tables

_ACCOUNT = {
    "host": "localhost",
    "port": 25,
    "tls": "none",
    "verify_cert": True,
    "allow_insecure_auth": False,
    "ttl_seconds": 300,
    "limit_behavior": "defer",
    "is_pec_account": False,
    "is_default": False,
}
_AT = 1_800_000_000.0
_new_pk = Uuid7Maker(lambda: _AT)


async def add_tenant(db: SqlDb, tables: Tables, tenant_id: str, **columns: Any) -> str:
    """A tenant with the account ``a``; returns the account's pk. ``columns`` are the tenant's."""
    pk = uuid7()
    stamps = {"created_at": _AT, "updated_at": _AT}

    def work(connection: Connection) -> None:
        tables.tenants.insert(connection, {"id": tenant_id, **stamps, **columns})
        identity = {"pk": pk, "tenant_id": tenant_id, "id": "a"}
        tables.accounts.insert(connection, {**_ACCOUNT, **identity, **stamps})

    await db.write(work)
    return pk


async def add_messages(
    db: SqlDb, tables: Tables, tenant_id: str, account_pk: str, ids: Sequence[str]
) -> list[str]:
    """Small messages that are due; returns their pks."""
    messages = [new_message(tenant_id, account_pk, id_) for id_ in ids]
    await db.write(tables.messages.add, messages)
    return [m.pk for m in messages]


async def add_event(
    db: SqlDb,
    tables: Tables,
    tenant_id: str,
    message_pks: Sequence[str],
    event_type: str = "sent",
    data: dict[str, Any] | None = None,
    at: float = _AT,
) -> None:
    """The same event for each of the messages."""

    def work(connection: Connection) -> None:
        c = tables.messages.columns
        rows = tables.messages.select(connection, c["pk"].in_(message_pks), tenant_id=tenant_id)
        accounts = {row["pk"]: row["account_pk"] for row in rows}
        events = [
            NewEvent(pk, tenant_id, accounts[pk], event_type, at, data or {}) for pk in message_pks
        ]
        tables.events.append(connection, events)

    await db.write(work)


def new_message(tenant_id: str, account_pk: str, id_: str) -> NewMessage:
    return NewMessage(
        pk=_new_pk(),
        tenant_id=tenant_id,
        id=id_,
        account_pk=account_pk,
        priority=2,
        due_at=_AT,
        created_at=_AT,
        batch_code=None,
        expires_at=None,
        client_message_id=None,
        recipients="a@b.example",
        subject="Hello",
        content="{}",
        size=2,
    )
