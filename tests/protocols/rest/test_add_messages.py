"""POST /commands/add-messages"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Any

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client

from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer

PATH = "/commands/add-messages"
MAIL = {"from": "Ann <ann@example.org>", "to": ["bob@example.net"], "subject": "s", "body": "b"}


def mail(id_: str = "m1", **fields: Any) -> dict[str, Any]:
    return {"id": id_, **MAIL, **fields}


def without(name: str) -> dict[str, Any]:
    return {k: v for k, v in mail().items() if k != name}


async def rejection(client: Client, record: Any) -> str:
    """Why a message is refused that is handed in beside a good one; the good one is taken."""
    body = {"messages": [record, mail("good")]}
    answer = await client.ok("POST", PATH, body)
    assert answer["queued"] == 1
    (rejected,) = answer["rejected"]
    assert rejected["id"] == (record.get("id") if isinstance(record, dict) else None)
    return str(rejected["reason"])


async def test_good_messages_are_queued_and_bad_ones_named_with_a_reason_each(
    idle: Client,
) -> None:
    records = [mail("a"), mail("b", to=["nonsense"]), mail("c"), mail("d", priority=9)]
    answer = await idle.ok("POST", PATH, {"messages": records})
    assert (answer["ok"], answer["queued"]) == (True, 2)
    assert {r["id"]: r["reason"].partition(":")[0] for r in answer["rejected"]} == {
        "b": "to",
        "d": "priority",
    }
    listed = (await idle.ok("GET", "/messages"))["messages"]
    assert [m["id"] for m in listed] == ["c", "a"]


async def test_a_call_without_one_usable_message_is_400_with_all_reasons(idle: Client) -> None:
    response = await idle("POST", PATH, {"messages": [without("subject"), mail("b", to=[])]})
    assert response.status_code == 400
    answer = response.json()
    assert answer["ok"] is False
    assert [r["id"] for r in answer["detail"]["rejected"]] == ["m1", "b"]
    assert (await idle("POST", PATH, {"messages": []})).status_code == 400
    assert (await idle.ok("GET", "/messages"))["messages"] == []


def added(queued: int, replaced: int = 0, **duplicates: str) -> dict[str, Any]:
    """The answer to a call without rejected messages; ``duplicates`` are states by id."""
    return {
        "ok": True,
        "queued": queued,
        "replaced": replaced,
        "duplicates": [{"id": id_, "status": status} for id_, status in duplicates.items()],
        "rejected": [],
    }


@ONE_DATABASE
@pytest.mark.parametrize(
    ("record", "field"),
    [
        (without("id"), "messages.0.id"),
        (without("from"), "from"),
        (without("subject"), "subject"),
        (mail(id=""), "id"),
        (mail(id="x" * 256), "id"),
        (mail(id="a\nb"), "id"),
        (mail(**{"from": "nobody"}), "from"),
        (mail(**{"from": "a@b.example, c@d.example"}), "from"),
        (mail(to=[]), "to, cc, bcc"),
        (mail(to=["bob@example.net\r\nBcc: eve@example.com"]), "to.0"),
        (mail(cc=["bob@-example-.net"]), "cc"),
        (mail(bcc="bob@"), "bcc"),
        (mail(reply_to="@"), "reply_to"),
        (mail(return_path="x y@example.net"), "return_path"),
        (mail(subject="a\r\nBcc: eve@example.com"), "subject"),
        (mail(subject="a\0b"), "subject"),
        (mail(body="a\0b"), "body"),
        (mail(content_type="markdown"), "content_type"),
        (mail(content_type="html", body_html="<p>"), "body_html"),
        (mail(message_id="<two words@example.net>"), "message_id"),
        (mail(message_id="a@b>\r\nX: y"), "message_id"),
        (mail(priority=4), "priority"),
        (mail(priority="urgent"), "priority"),
        (mail(priority=True), "priority"),
        (mail(deferred_ts="tomorrow"), "deferred_ts"),
        (mail(deferred_ts=-1), "deferred_ts"),
        (mail(expires_ts=1e300), "expires_ts"),
        (mail(batch_code=""), "batch_code"),
        (mail(account_id="nobody"), "account_id"),
        (mail(tenant_id="nobody"), "tenant_id"),
        (mail(headers={"Bad Name": "x"}), "headers"),
        (mail(headers={"X-A": "a\nb"}), "headers.X-A"),
        (mail(headers={"X-A\r\nBcc": "a"}), "headers"),
        (mail(headers={"": "a"}), "headers"),
        (mail(headers={"X-A": 1}), "headers.X-A"),
        (mail(surprise=1), "surprise"),
        (mail(deferred_ts=True), "deferred_ts"),
        ("text", "messages.0"),
        (None, "messages.0"),
        ([], "messages.0"),
    ],
)
async def test_what_is_wrong_with_a_message_is_said_by_field(
    idle: Client, record: Any, field: str
) -> None:
    reason = await rejection(idle, record)
    assert reason.startswith(f"{field}: ")


@ONE_DATABASE
@pytest.mark.parametrize(
    "name",
    ["From", "to", "CC", "Bcc", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type",
     "content-transfer-encoding", "X-Genro-Mail-ID", "Return-Path", "received", "Resent-Bcc",
     "DKIM-Signature", "ARC-Seal", "Authentication-Results", "Delivered-To"],
)  # fmt: skip
async def test_headers_that_no_client_writes_are_refused(idle: Client, name: str) -> None:
    assert f"headers: {name} cannot be given: " in await rejection(idle, mail(headers={name: "x"}))


@ONE_DATABASE
@pytest.mark.parametrize("name", ["Reply-To", "List-Id", "References", "Sender", "Auto-Submitted"])
async def test_a_field_that_stands_once_is_refused_twice(idle: Client, name: str) -> None:
    reason = await rejection(
        idle, mail(headers={name: "<a@b.example>", name.upper(): "c@d.example"})
    )
    assert reason.startswith(f"headers: {name.upper()} is given twice")


@ONE_DATABASE
async def test_the_field_reply_to_and_the_header_exclude_each_other(idle: Client) -> None:
    both = mail(reply_to="a@b.example", headers={"reply-TO": "c@d.example"})
    assert "cannot both be given" in await rejection(idle, both)


@ONE_DATABASE
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("List-Unsubscribe", f"<https://example.org/{'x' * 1200}>"),
        ("Sender", "nobody"),
        ("In-Reply-To", "your mail"),
    ],
)
async def test_a_header_that_cannot_be_written_is_refused_at_intake(
    idle: Client, name: str, value: str
) -> None:
    reason = await rejection(idle, mail(headers={name: value}))
    assert reason.startswith(f"headers: {name}: ")


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": ""},
        {"subject": "Żółć ✓", "body": "日本語"},
        {"id": "x" * 255},
        {"id": "ordine/2026 №7"},
        {"to": "Bob <bob@example.net>, 'Eve' <eve@example.com>,"},
        {"to": ['"Last, First" <a@example.net>'], "cc": "b@example.net"},
        {"to": [], "bcc": ["only@example.net"]},
        {"to": None, "cc": "b@bücher.example"},
        {"to": ["jörg@example.net"]},
        {"to": ["root@localhost", "o'brien@corp.local", "o'brien@mail.test"]},
        {"priority": "high", "deferred_ts": 4e9, "expires_ts": 4_100_000_000},
        {"message_id": "no-angles@example.net"},
        {"headers": {"X-Note": "Grüße", "Sender": "a@example.org"}},
        {"attachments": []},
        {"body": None, "body_html": None, "content_type": None, "headers": None},
        {"attachments": None, "cc": None, "reply_to": None, "batch_code": None},
        {"body_html": "<p>", "content_type": "plain"},
    ],
)
async def test_what_is_unusual_but_right_is_taken(idle: Client, fields: dict[str, Any]) -> None:
    answer = await idle.ok("POST", PATH, {"messages": [mail(**fields)]})
    assert answer == added(1)


@ONE_DATABASE
async def test_what_bears_no_readable_id_is_named_by_its_place(idle: Client) -> None:
    records = [mail(), mail(id=7), "text", without("id"), mail("last", to=[])]
    answer = await idle.ok("POST", PATH, {"messages": records})
    assert [(r["id"], r["reason"].partition(" ")[0]) for r in answer["rejected"]] == [
        (None, "messages.1.id:"),
        (None, "messages.2:"),
        (None, "messages.3.id:"),
        ("last", "to,"),
    ]


async def test_the_same_id_replaces_what_waits(idle: Client) -> None:
    await idle.ok("POST", PATH, {"messages": [mail(subject="old", batch_code="b", priority=0)]})
    await idle.ok("POST", PATH, {"messages": [mail("other")]})
    first = await idle.message("m1")
    answer = await idle.ok("POST", PATH, {"messages": [mail(subject="new", deferred_ts=4e9)]})
    assert answer == added(1, replaced=1)
    second = await idle.message("m1")
    assert (second["subject"], second["deferred_ts"]) == ("new", 4_000_000_000)
    assert (second["batch_code"], second["priority"]) == (None, 2)
    assert second["pk"] == first["pk"]
    assert len((await idle.ok("GET", "/messages"))["messages"]) == 2


async def test_an_id_twice_in_one_call_counts_twice_and_the_later_one_stays(idle: Client) -> None:
    records = [mail(subject="first"), mail("other"), mail(subject="second"), mail("other")]
    answer = await idle.ok("POST", PATH, {"messages": records})
    assert answer == added(3, replaced=1, other="pending")
    assert (await idle.message("m1"))["subject"] == "second"
    assert len(await idle.events("m1")) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"message_id": "mine@example.org"},
        {"to": ["bob@example.net", "c@example.net"], "headers": {"Sender": "a@b.example"}},
        {"deferred_ts": 4e9, "expires_ts": 4.1e9, "batch_code": "b", "priority": 3},
        {"deferred_ts": 1},
    ],
)
async def test_the_same_content_again_changes_nothing(idle: Client, fields: dict[str, Any]) -> None:
    await idle.ok("POST", PATH, {"messages": [mail(**fields)]})
    first = await idle.message("m1")
    answer = await idle.ok("POST", PATH, {"messages": [mail(**fields), mail("new")]})
    assert answer == added(1, m1="pending")
    assert await idle.ok("POST", PATH, {"messages": [mail(**fields)]}) == added(0, m1="pending")
    assert await idle.message("m1") == first
    assert len(await idle.events("m1")) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": "other"},
        {"priority": 0},
        {"deferred_ts": 4e9},
        {"expires_ts": 4e9},
        {"batch_code": "b"},
        {"headers": {"X-A": "b"}},
        {"message_id": "other@example.org"},
    ],
)
async def test_other_content_replaces_what_waits_and_keeps_the_message_id(
    idle: Client, fields: dict[str, Any]
) -> None:
    await idle.ok("POST", PATH, {"messages": [mail()]})
    first = await idle.message("m1")
    for _ in range(2):
        assert await idle.ok("POST", PATH, {"messages": [mail(**fields)]}) == added(1, replaced=1)
        again = {"messages": [mail(**fields)]}
        assert await idle.ok("POST", PATH, again) == added(0, m1="pending")
        assert await idle.ok("POST", PATH, {"messages": [mail()]}) == added(1, replaced=1)
    last = await idle.message("m1")
    assert (last["pk"], last["message_id"]) == (first["pk"], first["message_id"])


async def test_the_same_id_changes_nothing_while_it_is_sent_and_afterwards(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    smtp.on("end of data", Act.SILENCE, times=1)
    await client.ok("POST", PATH, {"messages": [mail("busy")]})
    await smtp.wait_until(lambda: any(text == "DATA" for _, text in smtp.commands))
    smtp.on_recipient("gone@x.example", "550 5.1.1 no such user")
    records = [mail("sent"), mail("failed", to="gone@x.example")]
    await client.ok("POST", PATH, {"messages": records})
    await client.in_state("sent", "sent")
    await client.in_state("error", "failed")

    records = [mail("busy"), mail("sent"), mail("failed"), mail("new")]
    answer = await client.ok("POST", PATH, {"messages": records})
    assert answer == added(1, busy="sending", sent="sent", failed="error")
    changed = {"messages": [mail("sent", subject="other")]}
    assert await client.ok("POST", PATH, changed) == added(0, sent="sent")
    await smtp.drop_connections()


async def test_the_account_is_the_default_one_or_the_only_one(idle: Client) -> None:
    await idle.ok("POST", PATH, {"messages": [mail("only")]})
    await idle.ok("POST", "/account", {"id": "two", "host": "127.0.0.1"})
    await idle.ok("POST", PATH, {"messages": [mail("first")]})
    await idle.ok("POST", "/account", {"id": "smtp", "is_default": False})
    response = await idle("POST", PATH, {"messages": [mail("which")]})
    (rejected,) = response.json()["detail"]["rejected"]
    assert rejected["reason"] == "account_id: required, because there is no default account"
    assert rejected["code"] == "account_required"
    await idle.ok("POST", "/account", {"id": "two", "is_default": True})
    await idle.ok("POST", PATH, {"messages": [mail("default")]})
    await idle.ok("POST", "/account", {"id": "smtp", "is_default": True})
    await idle.ok("POST", PATH, {"messages": [mail("moved")]})
    found = {m["id"]: m["account_id"] for m in (await idle.ok("GET", "/messages"))["messages"]}
    assert found == {"only": "smtp", "first": "smtp", "default": "two", "moved": "smtp"}


@ONE_DATABASE
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": [], "default_priority": 7}, "default_priority"),
        ({"messages": [], "priority": 1}, "priority"),
    ],
)
async def test_a_malformed_call_is_422_and_names_the_field(
    idle: Client, body: Any, field: str
) -> None:
    response = await idle("POST", PATH, body)
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == field


@ONE_DATABASE
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b'{"messages": [}', b"\xff\xfe", b"[" * 100_000]
)
async def test_a_body_that_is_no_json_object_is_422(idle: Client, body: bytes) -> None:
    headers = {"X-API-Token": "admin-token", "Content-Type": "application/json"}
    response = await idle.http.post(PATH, content=body, headers=headers)
    assert response.status_code == 422
    assert response.json()["ok"] is False


@ONE_DATABASE
@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({"Content-Encoding": "gzip"}, "Content-Encoding gzip"),
        ({"Content-Type": "application/json; charset=iso-8859-1"}, "charset iso-8859-1"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, "send application/json"),
    ],
)
async def test_a_body_that_is_not_plain_json_is_415(
    idle: Client, headers: dict[str, str], word: str
) -> None:
    token = {"X-API-Token": "admin-token"}
    for path in (PATH, "/account"):
        response = await idle.http.post(path, content=b"x", headers={**token, **headers})
        assert response.status_code == 415
        assert word in response.json()["error"]
        assert response.headers["Accept-Encoding"] == "identity"


@ONE_DATABASE
@pytest.mark.parametrize("broken", [rb"cut \ud83d", "Größe".encode("latin-1"), rb"\udc00\ud800"])
async def test_a_broken_text_rejects_its_own_message_alone(idle: Client, broken: bytes) -> None:
    text = json.dumps({"messages": [mail("good"), mail("cut", subject="BROKEN")]})
    headers = {"X-API-Token": "admin-token", "Content-Type": "application/json; charset=utf-8"}
    body = b"\xef\xbb\xbf" + text.encode().replace(b"BROKEN", broken)
    response = await idle.http.post(PATH, content=body, headers=headers)
    assert response.status_code == 200
    answer = response.json()
    assert answer["queued"] == 1
    (rejected,) = answer["rejected"]
    assert rejected["id"] == "cut"
    assert rejected["reason"].startswith("subject: ")


async def test_a_thousand_messages_go_in_one_call_and_one_more_is_413(idle: Client) -> None:
    records = [mail(f"m{i}") for i in range(1001)]
    response = await idle("POST", PATH, {"messages": records})
    assert response.status_code == 413
    assert "1001" in response.json()["error"]
    assert "1000" in response.json()["error"]
    assert (await idle.ok("GET", "/messages"))["messages"] == []
    assert (await idle.ok("POST", PATH, {"messages": records[1:]}))["queued"] == 1000


async def test_a_big_call_does_not_hold_up_the_others(idle: Client) -> None:
    # Addresses that need the full check, which takes ten times as long as the usual one.
    records = [
        mail(f"m{i}", to=[f"o'brien{n}@x{i}.example.org" for n in range(400)]) for i in range(10)
    ]
    await idle.ok("POST", PATH, {"messages": [mail("imports", to="o'brien@y.example.org")]})
    call = asyncio.create_task(idle("POST", PATH, {"messages": records}))
    # Processor time of the loop's own thread, which other programs do not add to.
    steps = [time.thread_time()]
    while not call.done():
        await asyncio.sleep(0)
        steps.append(time.thread_time())
    assert (await call).status_code == 200
    longest = max(after - before for before, after in itertools.pairwise(steps))
    assert longest < (steps[-1] - steps[0]) / 3


async def test_a_tenant_that_creates_accounts_refuses_no_call_of_another(idle: Client) -> None:
    await idle.ok("POST", "/tenant", {"id": "busy"})
    is_over = asyncio.Event()

    async def create_accounts(worker: int) -> None:
        for number in itertools.count():
            if is_over.is_set():
                return
            account = {"id": f"a{worker}-{number}", "tenant_id": "busy", "host": "127.0.0.1"}
            await idle.ok("POST", "/account", account)

    async with asyncio.TaskGroup() as group:
        for worker in range(4):
            group.create_task(create_accounts(worker))
        for number in range(20):
            await idle.ok("POST", PATH, {"messages": [mail(f"m{number}", tenant_id="default")]})
        is_over.set()
