"""GET /messages, /messages/{id}, /messages/{id}/events; POST /commands/delete-messages"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from tests.protocols.rest.client import Client

from mail_proxy.sql import SqlDb
from mail_proxy.sql.tables import Tables
from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer

MAIL = {"from": "Ann <ann@example.org>", "to": ["bob@example.net"], "subject": "s", "body": "b"}
DELETE = "/commands/delete-messages"


async def add(client: Client, *records: dict[str, Any]) -> None:
    messages = [{**MAIL, **record} for record in records]
    answer = await client.ok("POST", "/commands/add-messages", {"messages": messages})
    assert answer["rejected"] == []


async def listed(client: Client, **query: Any) -> list[str]:
    answer = await client.ok("GET", f"/messages?{urlencode(query)}")
    return [m["id"] for m in answer["messages"]]


async def test_a_message_is_shown_with_all_that_was_handed_in_and_without_its_body(
    idle: Client,
) -> None:
    record = {
        "id": "m1",
        "to": "Bob <bob@example.net>",
        "cc": ["cc@example.net"],
        "bcc": ["bcc@example.net"],
        "subject": "Grüße",
        "body": "the secret text",
        "message_id": "<x@example.org>",
        "priority": "high",
        "batch_code": "spring",
        "deferred_ts": 4_000_000_000,
        "expires_ts": 4_100_000_000.5,
    }
    await add(idle, record)
    response = await idle("GET", "/messages/m1")
    assert "the secret text" not in response.text
    shown = response.json()["message"]
    assert len(shown.pop("pk")) == 36
    assert shown.pop("created_ts") > 1_700_000_000
    assert shown == {
        "id": "m1",
        "tenant_id": "default",
        "account_id": "smtp",
        "status": "pending",
        "priority": 1,
        "batch_code": "spring",
        "from": "Ann <ann@example.org>",
        "to": ["Bob <bob@example.net>"],
        "cc": ["cc@example.net"],
        "bcc": ["bcc@example.net"],
        "subject": "Grüße",
        "message_id": "<x@example.org>",
        "deferred_ts": 4_000_000_000,
        "expires_ts": 4_100_000_000,
        "sent_ts": None,
        "error_ts": None,
        "error": None,
        "retry_count": 0,
        "waiting": {"reason": "stopped", "until": None, "detail": None},
        "recipients": None,
        "pec": None,
        **dict.fromkeys(
            f"bounce_{name}" for name in ("ts", "type", "code", "reason", "recipient", "category")
        ),
    }
    assert (await idle.ok("GET", "/messages"))["messages"][0]["id"] == "m1"


async def test_the_story_of_a_message_is_told_oldest_first(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    await add(client, {"id": "m1"})
    await client.in_state("sent", "m1")
    answer = await client.ok("GET", "/messages/m1/events")
    assert answer["ok"] is True
    queued, sent = answer["events"]
    assert set(queued) == {"event_type", "event_ts", "event_data", "reported_ts"}
    assert (queued["event_type"], queued["event_data"]) == ("queued", {})
    assert (sent["event_type"], sent["event_data"]["code"]) == ("sent", 250)
    assert queued["event_ts"] <= sent["event_ts"]
    assert sent["event_ts"] == round(sent["event_ts"], 3)
    shown = await client.message("m1")
    assert shown["sent_ts"] == int(sent["event_ts"])
    assert shown["deferred_ts"] is None


async def test_the_time_of_the_next_attempt_is_in_whole_seconds(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    smtp.on_recipient("busy@example.net", "450 4.2.1 later")
    await client.account(smtp)
    await add(client, {"id": "m1", "to": "busy@example.net"})
    await client.in_state("deferred", "m1")
    _, deferred = await client.events("m1")
    retry_ts = deferred["event_data"]["retry_ts"]
    assert isinstance(retry_ts, int)
    assert retry_ts == (await client.message("m1"))["deferred_ts"]


async def test_filters_narrow_the_listing_and_can_be_combined(idle: Client) -> None:
    await idle.ok("POST", "/account", {"id": "two", "host": "127.0.0.1"})
    one = {"account_id": "smtp"}
    await add(
        idle,
        {**one, "id": "a", "batch_code": "x", "subject": "Invoice 100%"},
        {**one, "id": "b", "batch_code": "y", "to": "Carol@Example.com"},
        {"account_id": "two", "id": "c", "batch_code": "x"},
    )
    assert await listed(idle) == ["c", "b", "a"]
    assert await listed(idle, batch_code="x") == ["c", "a"]
    assert await listed(idle, batch_code="x", account_id="smtp") == ["a"]
    assert await listed(idle, id="b") == ["b"]
    assert await listed(idle, q="invoice") == ["a"]
    assert await listed(idle, q="carol@") == ["b"]
    assert await listed(idle, q="100%") == ["a"]
    assert await listed(idle, q="1_0") == []
    assert await listed(idle, status="pending") == ["c", "b", "a"]
    assert await listed(idle, status="sent") == []
    assert await listed(idle, account_id="nobody") == []


async def test_failures_are_found_by_code_and_by_refused_recipients(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    smtp.on_recipient("gone@example.net", "550 5.1.1 no such user")
    smtp.on_recipient("busy@example.net", "450 4.2.1 later")
    await client.account(smtp)
    people = ["gone@example.net", "bob@example.net"]
    await add(
        client,
        {"id": "all", "to": "gone@example.net"},
        {"id": "one", "to": people},
        {"id": "busy", "to": "busy@example.net"},
        {"id": "fine"},
    )
    await client.in_state("error", "all")
    await client.in_state("sent", "one", "fine")
    await client.in_state("deferred", "busy")
    assert await listed(client, code=550) == ["all"]
    assert await listed(client, code=450) == ["busy"]
    assert await listed(client, code=450, status="error") == []
    assert await listed(client, code=450, waiting="retry") == ["busy"]
    assert await listed(client, recipient_status="failed") == ["one", "all"]
    assert await listed(client, recipient_status="failed", order="oldest") == ["all", "one"]
    assert await listed(client, recipient_status="failed", q="bob@") == ["one"]


async def test_messages_of_a_time_in_either_order(idle: Client) -> None:
    await add(idle, {"id": "a"}, {"id": "b"})
    await add(idle, {"id": "c"})
    created = (await idle.message("c"))["created_ts"]
    assert await listed(idle, order="oldest") == ["a", "b", "c"]
    assert await listed(idle, from_ts=created - 60, to_ts=created) == ["c", "b", "a"]
    assert await listed(idle, from_ts=created - 60, waiting="stopped", order="oldest") == [
        *("a", "b", "c"),
    ]
    assert await listed(idle, from_ts=created + 60) == []
    assert await listed(idle, to_ts=created - 60) == []
    moment = datetime.fromtimestamp(created, UTC)
    for zone in (UTC, timezone(timedelta(hours=2))):
        text = moment.astimezone(zone).isoformat()
        assert await listed(idle, to_ts=text, order="oldest") == ["a", "b", "c"], text
        # A plus sign that was not encoded arrives as a blank.
        answer = await idle.ok("GET", f"/messages?to_ts={text}")
        assert len(answer["messages"]) == 3, text
    page = await idle.ok("GET", "/messages?order=oldest&limit=2")
    rest = await idle.ok("GET", f"/messages?order=oldest&cursor={page['next_cursor']}")
    assert [m["id"] for m in rest["messages"]] == ["c"]


async def test_active_only_leaves_out_what_is_finished(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    await add(client, {"id": "done"})
    await client.in_state("sent", "done")
    await add(client, {"id": "later", "deferred_ts": 4e9})
    assert await listed(client, active_only="true") == ["later"]
    assert await listed(client, active_only="false") == ["later", "done"]
    assert await listed(client, status="sent") == ["done"]


async def test_pages_follow_each_other_without_gaps_while_messages_come_in(idle: Client) -> None:
    ids = [f"m{i}" for i in range(7)]
    await add(idle, *({"id": i} for i in ids))
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 3, "cursor": cursor} if cursor else {"limit": 3}
        page = await idle.ok("GET", f"/messages?{urlencode(query)}")
        found += [m["id"] for m in page["messages"]]
        cursor = page["next_cursor"]
        await add(idle, {"id": f"new{len(found)}"})
    assert found == ids[::-1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=many", "limit"),
        ("status=lost", "status"),
        ("cursor=nonsense", "cursor"),
        ("cursor=------------------------------------", "cursor"),
        ("active_only=perhaps", "active_only"),
        ("id=", "id"),
        ("q=a%00b", "q"),
        ("tenant_id=a%00b", "tenant_id"),
        ("order=random", "order"),
        ("recipient_status=sent", "recipient_status"),
        ("code=5.1.1", "code"),
        ("code=99", "code"),
        ("from_ts=yesterday", "from_ts"),
        ("to_ts=2026-11-27T10:00:00", "to_ts"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_422(idle: Client, query: str, field: str) -> None:
    response = await idle("GET", f"/messages?{query}")
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == field


@pytest.mark.parametrize(
    "id_",
    ["order/7", "a/b/c", "Grüße & co?", "100%", "a%2Fb", "events", "x y", "#1", "a+b", "../x"],
)
async def test_any_id_can_be_asked_for_percent_encoded(idle: Client, id_: str) -> None:
    await add(idle, {"id": id_})
    path = f"/messages/{quote(id_, safe='')}"
    assert (await idle.ok("GET", path))["message"]["id"] == id_
    assert len((await idle.ok("GET", f"{path}/events"))["events"]) == 1


async def test_a_message_that_does_not_exist_is_404(idle: Client) -> None:
    for path in ("/messages/nobody", "/messages/nobody/events", "/messages/a%00b"):
        response = await idle("GET", path)
        assert response.status_code in (404, 422)
        assert response.json()["ok"] is False


async def test_deleting_tells_what_became_of_each_id(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    await add(client, {"id": "done"})
    await client.in_state("sent", "done")
    smtp.on("end of data", Act.SILENCE, times=1)
    await add(client, {"id": "busy"})
    await smtp.wait_until(lambda: [text for _, text in smtp.commands].count("DATA") == 2)
    await add(client, {"id": "later", "deferred_ts": 4e9})

    body = {"ids": ["later", "busy", "done", "nobody", "later"]}
    assert await client.ok("POST", DELETE, body) == {
        "ok": True,
        "removed": 2,
        "not_found": ["nobody"],
        "unauthorized": [],
        "in_progress": ["busy"],
    }
    assert await listed(client) == ["busy"]
    assert (await client("GET", "/messages/done/events")).status_code == 404
    await smtp.drop_connections()


async def test_a_deleted_id_can_be_used_again(idle: Client) -> None:
    await add(idle, {"id": "m1", "subject": "old"})
    assert (await idle.ok("POST", DELETE, {"ids": ["m1"]}))["removed"] == 1
    await add(idle, {"id": "m1", "subject": "new"})
    assert (await idle.message("m1"))["subject"] == "new"
    assert len(await idle.events("m1")) == 1


@pytest.mark.parametrize(
    "body", [None, {}, {"ids": "m1"}, {"ids": [1]}, {"ids": ["a\0b"]}, {"ids": [], "id": "m1"}]
)
async def test_a_malformed_deletion_is_422(idle: Client, body: Any) -> None:
    assert (await idle("POST", DELETE, body)).status_code == 422


async def test_a_listing_reads_no_large_body_out_of_the_database(
    idle: Client, db: SqlDb, tables: Tables
) -> None:
    await add(idle, {"id": "m1", "body": "ü" * 50_000, "body_html": "h", "subject": "Grüße"})
    row = await db.read(tables.messages.detail, "default", "m1")
    assert row is not None
    assert len(row["content"]) < 1000
    shown = await idle.message("m1")
    assert (shown["subject"], shown["to"]) == ("Grüße", ["bob@example.net"])


async def test_a_search_finds_texts_whatever_their_case_in_any_script(idle: Client) -> None:
    subjects = [
        "MÜLLER Größe",
        "ΟΔΥΣΣΕΥΣ",
        "Привет МИР",
        "100 % sure_thing",
        "mu\u0308ller",
        "other",
    ]
    for number, subject in enumerate(subjects):
        await idle.add(f"m{number}", subject=subject, to=[f"Ann{number}@Example.net"])
    for text, expected in (
        ("müller größe", ["m0"]),
        ("GRÖẞE", ["m0"]),
        ("οδυσσευς", ["m1"]),
        ("мир", ["m2"]),
        ("ПРИВЕТ мир", ["m2"]),
        ("MÜLLER", ["m4", "m0"]),
        ("ü", ["m4", "m0"]),
        ("ann5@EXAMPLE", ["m5"]),
        ("% SURE_", ["m3"]),
        ("größe müller", []),
        ("ж", []),
    ):
        found = await idle.ok("GET", f"/messages?q={quote(text)}")
        assert [m["id"] for m in found["messages"]] == expected, text
