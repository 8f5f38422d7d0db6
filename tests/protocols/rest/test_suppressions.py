"""Suppression lists over REST, and what they do to messages."""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client

from mail_proxy.testing.smtp_server import ScriptedSmtpServer


async def listed(client: Client, query: str = "", **options: Any) -> list[str]:
    answer = await client.ok("GET", f"/suppressions{query}", **options)
    return [entry["address"] for entry in answer["suppressions"]]


async def test_an_address_is_added_once_listed_and_removed(idle: Client) -> None:
    body = {"address": "Bob@Example.NET", "detail": "asked by phone"}
    assert await idle.ok("POST", "/suppression", body) == {"ok": True, "added": 1}
    again = {"address": "bob@example.net", "reason": "complaint"}
    assert await idle.ok("POST", "/suppression", again) == {"ok": True, "added": 0}
    (entry,) = (await idle.ok("GET", "/suppressions"))["suppressions"]
    assert entry.pop("since_ts") > 0
    assert entry == {
        "tenant_id": "default",
        "address": "bob@example.net",
        "reason": "manual",
        "detail": "asked by phone",
        "message_id": None,
    }
    assert await listed(idle, "?address=BOB@example.net") == ["bob@example.net"]
    assert await listed(idle, "?reason=complaint") == []
    await idle.ok("DELETE", "/suppression/bob%40example.net")
    assert await listed(idle) == []
    assert (await idle("DELETE", "/suppression/bob@example.net")).status_code == 404
    assert await idle.ok("POST", "/suppression", again) == {"ok": True, "added": 1}
    assert await listed(idle, "?reason=complaint") == ["bob@example.net"]


async def test_pages_go_over_all_tenants_in_order(idle: Client) -> None:
    await idle.tenant("t")
    for tenant in ("t", "default"):
        addresses = [f"{name}@example.net" for name in "cab"]
        body = {"addresses": [*addresses, addresses[0]], "tenant_id": tenant}
        assert (await idle.ok("POST", "/suppression", body))["added"] == 3
    found, cursor = [], ""
    while True:
        page = await idle.ok("GET", f"/suppressions?limit=4{cursor}")
        found += [(entry["tenant_id"], entry["address"][0]) for entry in page["suppressions"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == [(tenant, name) for tenant in ("default", "t") for name in "abc"]
    assert len(await listed(idle, "?tenant_id=t")) == 3


@ONE_DATABASE
@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "body", "give either address or addresses"),
        ({"address": "a@b.example", "addresses": []}, "body", "give either address or addresses"),
        ({"address": "bob@"}, "address", "is not a mail address"),
        ({"addresses": ["a@b.example", "x@@"]}, "addresses.1", "is not a mail address"),
        ({"address": "a@b.example", "reason": "annoyed"}, "reason", "allowed: bounce, complaint"),
        ({"adress": "a@b.example"}, "adress", "did you mean address?"),
    ],
)
async def test_a_wrong_entry_is_refused_with_what_is_allowed(
    idle: Client, body: dict[str, Any], field: str, words: str
) -> None:
    answer = await idle("POST", "/suppression", body)
    assert answer.status_code == 422
    mistakes = {mistake["field"]: mistake["message"] for mistake in answer.json()["detail"]}
    assert words in mistakes[field]


async def test_suppressed_recipients_get_no_mail_and_the_others_do(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    key = await client.tenant("t")
    await client.ok("POST", "/suppression", {"address": "bob@example.net", "tenant_id": "default"})
    await client.ok("POST", "/suppression", {"address": "carl@example.net"}, token=key)
    everybody = ["ann@example.net", "Bob@Example.net", "carl@example.net"]
    await client.add("some", to=everybody, tenant_id="default")
    await client.add("none", to=["BOB@example.net"], tenant_id="default")
    await client.in_state("sent", "some")
    await client.in_state("error", "none")
    (mail,) = smtp.accepted
    assert mail.recipients == ("ann@example.net", "carl@example.net")
    shown = await client.message("some")
    assert {r["address"]: r["status"] for r in shown["recipients"]} == {
        "ann@example.net": "sent",
        "Bob@example.net": "failed",
        "carl@example.net": "sent",
    }
    assert (await client.message("none"))["error"] == "suppressed"


async def test_a_removed_address_gets_mail_again_and_a_deferred_one_is_left_out(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    smtp.on_recipient("later@example.net", "450 4.2.1 mailbox busy")
    await client.add("m", to=["later@example.net", "ann@example.net"])
    await client.in_state("deferred", "m")
    await client.ok("POST", "/suppression", {"address": "later@example.net"})
    await client.ok("POST", "/suppression", {"address": "bob@example.net"})
    await client.ok("DELETE", "/suppression/bob@example.net")
    await client.add("again", to=["bob@example.net"])
    await client.in_state("sent", "again")
    retry = {"ids": ["m"], "now": True}
    await client.ok("POST", "/commands/retry-messages", retry)
    await client.in_state("sent", "m")
    recipients = [mail.recipients for mail in smtp.accepted]
    assert recipients == [("ann@example.net",), ("bob@example.net",)]
