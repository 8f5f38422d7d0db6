"""Claim, outcome and lease, as dispatchers use them."""

from __future__ import annotations

from sqlalchemy import Connection

from mail_proxy.domain.message import MessageState
from mail_proxy.kit.ids import uuid7
from mail_proxy.sql import SqlDb
from mail_proxy.sql.messages import listing
from mail_proxy.sql.messages.events import NewEvent
from mail_proxy.sql.messages.insert import NewMessage, Stored
from mail_proxy.sql.messages.listing import MessageFilter
from mail_proxy.sql.messages.queue import ClaimedMessage, StateChange
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.sql.tables import Tables

NOW = 1_800_000_000.0
ACCOUNT = {
    "host": "localhost",
    "port": 25,
    "tls": "none",
    "verify_cert": True,
    "allow_insecure_auth": False,
    "ttl_seconds": 300,
    "limit_behavior": "defer",
    "is_pec_account": False,
    "is_default": False,
    "created_at": NOW,
    "updated_at": NOW,
}


async def make_account(db: SqlDb, tables: Tables, tenant: str = "t", account: str = "a") -> str:
    pk = uuid7()

    def work(connection: Connection) -> None:
        if tables.tenants.find(connection, id=tenant) is None:
            tables.tenants.insert(connection, {"id": tenant, "created_at": NOW, "updated_at": NOW})
        tables.accounts.insert(
            connection, {**ACCOUNT, "pk": pk, "tenant_id": tenant, "id": account, "password": "x"}
        )

    await db.write(work)
    return pk


def new(
    account: str,
    id_: str,
    *,
    tenant: str = "t",
    priority: int = 2,
    due: float = NOW,
    batch: str | None = None,
    content: str = "{}",
) -> NewMessage:
    return NewMessage(
        pk=uuid7(),
        tenant_id=tenant,
        id=id_,
        account_pk=account,
        priority=priority,
        due_at=due,
        created_at=NOW,
        batch_code=batch,
        expires_at=None,
        client_message_id=None,
        recipients="a@b.example",
        subject="Hello",
        content=content,
        size=len(content),
    )


async def register(db: SqlDb, tables: Tables) -> str:
    dispatcher = uuid7()
    await db.write(tables.queue.register, dispatcher, "host", 1, NOW, NOW + 30)
    return dispatcher


def claim(
    tables: Tables,
    accounts: list[str],
    dispatcher: str,
    priority: int = 2,
    now: float = NOW,
    limit: int = 10,
):
    def work(connection: Connection) -> list[ClaimedMessage]:
        due = tables.queue.due(connection, accounts, priority, now, limit)
        tables.queue.claim(connection, dispatcher, due)
        return due

    return work


def change(
    message: ClaimedMessage, state: str = "sent", claimed_by: str = "", **values: object
) -> StateChange:
    event = NewEvent(message.pk, message.tenant_id, message.account_pk, state, NOW, {"n": 1})
    fields = {
        "due_at": NOW,
        "retries": 0,
        "state_at": NOW,
        "error": None,
        "recipients_left": None,
        "recipient_results": None,
        "event": event,
    }
    return StateChange(
        pk=message.pk,
        claimed_by=claimed_by or message.claimed_by,
        account_pk=message.account_pk,
        tenant_id=message.tenant_id,
        state=state,
        **{**fields, **values},
    )  # type: ignore[arg-type]


async def test_a_claim_takes_due_messages_of_each_account_in_order_and_only_once(
    db: SqlDb, tables: Tables
) -> None:
    first, second = [await make_account(db, tables, account=a) for a in ("a", "b")]
    messages = [new(first, f"a{i}") for i in range(5)] + [new(second, f"b{i}") for i in range(2)]
    messages += [new(first, "later", due=NOW + 60), new(first, "urgent", priority=0)]
    await db.write(tables.messages.add, messages)
    me = await register(db, tables)

    claimed = await db.write(claim(tables, [first, second], me, limit=3))

    assert sorted(m.id for m in claimed) == ["a0", "a1", "a2", "b0", "b1"]
    assert [m.id for m in claimed if m.account_pk == first] == ["a0", "a1", "a2"]
    assert {m.content for m in claimed} == {"{}"}
    again = await db.write(claim(tables, [first, second], me, limit=3))
    assert [m.id for m in again] == ["a3", "a4"]
    assert [m.id for m in await db.write(claim(tables, [first], me, priority=0))] == ["urgent"]
    assert await db.write(claim(tables, [first], me)) == []
    assert await db.read(tables.queue.next_due_at, NOW) == NOW + 60


async def test_an_outcome_is_written_with_its_event_by_the_claimer_alone(
    db: SqlDb, tables: Tables
) -> None:
    account = await make_account(db, tables)
    await db.write(tables.messages.add, [new(account, "m")])
    me, other = await register(db, tables), await register(db, tables)
    (message,) = await db.write(claim(tables, [account], me))

    assert await db.write(tables.queue.record, [change(message, "error", other)]) == set()
    assert await db.write(tables.queue.record, [change(message)]) == {message.pk}

    row = await db.read(tables.messages.detail, "t", "m")
    assert row["state"] == MessageState.SENT
    events = await db.read(tables.events.history, "t", message.pk, message.created_at)
    assert [e["event_type"] for e in events] == ["queued", "sent"]
    assert events[1]["data"] == {"n": 1}


async def test_the_first_event_is_that_a_message_was_taken_in(db: SqlDb, tables: Tables) -> None:
    """It is not stored, except by older programs."""
    account = await make_account(db, tables)
    await db.write(tables.messages.add, [new(account, "m")])
    row = await db.read(tables.messages.detail, "t", "m")

    async def kinds() -> list[tuple[str, float]]:
        found = await db.read(tables.events.history, "t", row["pk"], row["created_at"])
        return [(event["event_type"], event["event_at"]) for event in found]

    def older(at: float) -> NewEvent:
        return NewEvent(row["pk"], "t", account, "queued", at, {})

    taken_in = ("queued", row["created_at"])
    assert await kinds() == [taken_in]
    later = row["created_at"] + 5
    await db.write(tables.events.append, [older(later)])  # replaced
    assert await kinds() == [taken_in, ("queued", later)]
    await db.write(tables.events.append, [older(row["created_at"])])
    await db.write(_remove_first_event)
    assert await kinds() == [taken_in]


def _remove_first_event(connection: Connection) -> None:
    first = "(SELECT min(seq) FROM message_event)"
    connection.exec_driver_sql(f"DELETE FROM message_event WHERE seq = {first}")


async def test_what_a_dead_dispatcher_held_goes_back_and_what_it_sent_stays_sent(
    db: SqlDb, tables: Tables
) -> None:
    account = await make_account(db, tables)
    await db.write(tables.messages.add, [new(account, "m"), new(account, "n")])
    dead = await register(db, tables)
    alive = await register(db, tables)
    held = await db.write(claim(tables, [account], dead))

    assert await db.write(tables.queue.rescue, []) == []
    assert await db.write(tables.queue.rescue, [dead]) == [(account, "t")] * 2
    assert await db.write(tables.queue.renew, dead, NOW + 60) is False
    assert await db.write(tables.queue.renew, alive, NOW + 60) is True
    assert await db.write(tables.queue.record, [change(held[0])]) == {held[0].pk}
    assert await db.write(tables.queue.record, [change(held[1], "deferred")]) == set()
    assert [m.id for m in await db.write(claim(tables, [account], alive))] == [held[1].id]
    assert await db.write(tables.queue.hand_back, alive) == 1


async def test_the_same_id_replaces_while_it_waits_and_changes_nothing_afterwards(
    db: SqlDb, tables: Tables
) -> None:
    account = await make_account(db, tables)
    twice = [new(account, "m"), new(account, "m")]
    assert await db.write(tables.messages.add, twice) == [Stored.QUEUED, MessageState.PENDING]
    added = [new(account, "m", content='{"v": 2}'), new(account, "n"), new(account, "n")]
    assert await db.write(tables.messages.add, added) == [
        Stored.REPLACED,
        Stored.QUEUED,
        MessageState.PENDING,
    ]
    me = await register(db, tables)

    claimed = await db.write(claim(tables, [account], me))

    assert [(m.id, m.content) for m in claimed] == [("n", "{}"), ("m", '{"v": 2}')] or [
        (m.id, m.content) for m in claimed
    ] == [("m", '{"v": 2}'), ("n", "{}")]
    assert await db.write(tables.messages.add, [new(account, "m")]) == [MessageState.SENDING]
    m, n = sorted(claimed, key=lambda c: c.id)
    await db.write(tables.queue.record, [change(m), change(n, "error")])
    answers = await db.write(tables.messages.add, [new(account, i) for i in "mnx"])
    assert answers == [MessageState.SENT, MessageState.ERROR, Stored.QUEUED]


async def test_thousands_go_in_and_out_with_a_handful_of_statements(
    db: SqlDb, tables: Tables
) -> None:
    account = await make_account(db, tables)
    messages = [new(account, str(i)) for i in range(2345)]
    await db.write(tables.messages.add, messages)
    me = await register(db, tables)
    claimed = await db.write(claim(tables, [account], me, limit=5000))
    assert [m.id for m in claimed] == [str(i) for i in range(2345)]
    assert len(await db.write(tables.queue.record, [change(m) for m in claimed])) == 2345
    assert await db.read(tables.messages.count_waiting, EVERY_TENANT) == 0


async def test_unreported_events_come_in_order_and_wait_behind_one_that_was_put_off(
    db: SqlDb, tables: Tables
) -> None:
    account = await make_account(db, tables)
    await db.write(tables.messages.add, [new(account, "m"), new(account, "n")])
    me = await register(db, tables)
    claimed = sorted(await db.write(claim(tables, [account], me)), key=lambda c: c.id)
    await db.write(tables.queue.record, [change(c, "deferred") for c in claimed])
    m = claimed[0]
    pending = await db.read(tables.events.unreported, "t", NOW, 10)
    assert [(e.message_id, e.account_id, e.event_type) for e in pending] == [
        ("m", "a", "deferred"),
        ("n", "a", "deferred"),
    ]

    await db.write(tables.events.put_off, [(pending[0].seq, NOW + 10)])
    late = NewEvent(m.pk, "t", account, "sent", NOW, {})
    await db.write(tables.events.append, [late])
    assert [e.message_id for e in await db.read(tables.events.unreported, "t", NOW, 10)] == ["n"]
    later = await db.read(tables.events.unreported, "t", NOW + 11, 10)
    assert [e.event_type for e in later] == ["deferred", "deferred"]
    await db.write(tables.events.acknowledge, "t", later, NOW)
    last = await db.read(tables.events.unreported, "t", NOW + 11, 10)
    assert [e.event_type for e in last] == ["sent"]
    await db.write(tables.events.acknowledge, "t", last, NOW)
    assert await db.read(tables.events.unreported, "t", NOW + 11, 10) == []


async def test_listing_filters_and_pages(db: SqlDb, tables: Tables) -> None:
    account = await make_account(db, tables)
    other = await make_account(db, tables, tenant="u")
    await db.write(
        tables.messages.add,
        [new(account, f"m{i}", batch="b" if i % 2 else None) for i in range(5)]
        + [new(other, "x", tenant="u")],
    )
    mine = MessageFilter(tenant_id="t")
    first = await db.read(listing.page, mine, 2, None)
    assert [r["id"] for r in first.rows] == ["m4", "m3"]
    second = await db.read(listing.page, mine, 3, first.next_pk)
    assert [r["id"] for r in second.rows] == ["m2", "m1", "m0"]
    assert second.next_pk is None
    for wanted, ids in (
        (MessageFilter("t", batch_code="b"), ["m3", "m1"]),
        (MessageFilter("t", batch_code="b", account_id="a", id="m1"), ["m1"]),
        (MessageFilter("t", batch_code="b", id="m0"), []),
        (
            MessageFilter("t", account_id="a", wanted_states=["pending"]),
            ["m4", "m3", "m2", "m1", "m0"],
        ),
        (MessageFilter("t", account_id="nobody"), []),
        (MessageFilter("u", account_id="a", text="HELLO"), ["x"]),
        (MessageFilter("u", text="b_example"), []),
        (MessageFilter("t", wanted_states=["sent"]), []),
        (MessageFilter("t", wanted_states=["sent"], active_only=True), []),
        (MessageFilter("t", active_only=True, id="m0"), ["m0"]),
    ):
        found = await db.read(listing.page, wanted, 10, None)
        assert [r["id"] for r in found.rows] == ids
        assert found.next_pk is None


async def begun(db: SqlDb, tables: Tables, account: str, dispatcher: str) -> ClaimedMessage:
    await db.write(tables.messages.add, [new(account, "m")])
    (message,) = await db.write(claim(tables, [account], dispatcher))
    await db.write(tables.queue.begin, message)
    return message


async def test_an_attempt_that_was_counted_ahead_stays_counted_when_the_process_dies(
    db: SqlDb, tables: Tables
) -> None:
    account = await make_account(db, tables)
    me, other = await register(db, tables), await register(db, tables)
    message = await begun(db, tables, account, me)
    await db.write(tables.queue.rescue, [me])
    (again,) = await db.write(claim(tables, [account], other))
    assert again.retries == message.retries + 1


async def test_giving_a_begun_message_back_takes_its_attempt_back(
    db: SqlDb, tables: Tables
) -> None:
    account, me = await make_account(db, tables), await register(db, tables)
    message = await begun(db, tables, account, me)
    await db.write(tables.queue.release, [message])
    (again,) = await db.write(claim(tables, [account], me))
    assert again.retries == message.retries == 0
