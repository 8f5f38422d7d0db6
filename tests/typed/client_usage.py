"""Use of the client library as mypy sees it: ``make check`` checks this file.

A comment ``type: ignore`` stands where mypy must find a mistake; an unneeded one is an error.
``tests/protocols/client`` runs the functions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import assert_type

from mail_proxy.client import AsyncMailProxyClient, MailProxyClient, Message, Report, verify_reports
from mail_proxy.wire.accounts import AccountOut, AccountSaved
from mail_proxy.wire.batches import AddMessagesOut
from mail_proxy.wire.command_log import CommandOut
from mail_proxy.wire.messages import EventOut, MessageOut, MessagesOut
from mail_proxy.wire.stats import StatsOut
from mail_proxy.wire.suspension import SuspensionOut
from mail_proxy.wire.tenants import TenantOut

MAIL: Message = {
    "id": "typed-1",
    "from": "Ann <ann@example.org>",
    "to": "bob@example.net",
    "subject": "Hello",
    "body": "Hello Bob\n",
    "priority": "high",
    "deferred_ts": datetime(2026, 1, 1, tzinfo=UTC),
}


def blocking(client: MailProxyClient) -> None:
    assert_type(client.accounts.add(id="typed", host="127.0.0.1", tls="none"), AccountSaved)
    assert_type(client.accounts.list(), list[AccountOut])
    assert_type(client.messages.add([MAIL], default_priority=2), AddMessagesOut)
    assert_type(client.messages.list(status=["pending", "sent"], limit=10), MessagesOut)
    assert_type(client.messages.iterate(q="bob"), Iterator[MessageOut])
    assert_type(client.messages.get("typed-1"), MessageOut)
    assert_type(client.messages.events("typed-1"), list[EventOut])
    assert_type(client.messages.delete(["typed-1"]).removed, int)
    assert_type(client.commands.suspend("spring"), SuspensionOut)
    assert_type(client.tenants.list(), list[TenantOut])
    assert_type(client.tenants.make_key("default"), str)
    assert_type(client.stats.iterate(bucket="day"), Iterator[StatsOut])
    assert_type(client.audit.export(), Iterator[CommandOut])
    assert_type(client.instance.metrics(), str)


async def asynchronous(client: AsyncMailProxyClient) -> None:
    assert_type(await client.accounts.add(id="typed", host="127.0.0.1"), AccountSaved)
    assert_type(await client.messages.add([MAIL]), AddMessagesOut)
    assert_type(client.messages.iterate(), AsyncIterator[MessageOut])
    async for message in client.messages.iterate(active_only=True):
        assert_type(message.sender, str)
    assert_type((await client.tenants.get("default")).name, str | None)


def reports(body: bytes, headers: dict[str, str], secret: str) -> list[Report]:
    return verify_reports(body, headers, secret)


def mistakes(client: MailProxyClient, other: AsyncMailProxyClient) -> None:
    client.accounts.add(host="127.0.0.1")  # type: ignore[call-arg]
    client.accounts.add(id="a", hots="127.0.0.1")  # type: ignore[call-arg]
    client.accounts.add(id="a", tls="sometimes")  # type: ignore[arg-type]
    client.messages.add([{"id": "a", "from": "a@example.org"}])  # type: ignore[list-item]
    client.messages.get(1)  # type: ignore[arg-type]
    client.messages.list(stauts="sent")  # type: ignore[call-arg]
    client.tenants.update("acme", nmae="Acme")  # type: ignore[call-arg]
    other.messages.get("a")  # type: ignore[unused-coroutine]
