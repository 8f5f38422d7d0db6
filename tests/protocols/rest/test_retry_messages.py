"""POST /commands/retry-messages"""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocols.rest.client import Client

from mail_proxy.testing.smtp_server import ScriptedSmtpServer

PATH = "/commands/retry-messages"


FILTERS = ["ids", "account_id", "batch_code", "from_ts", "to_ts", "error_like"]


@pytest.mark.parametrize("body", [{}, {"now": True, "dry_run": True}, {"ids": None}])
async def test_one_filter_is_needed(client: Client, body: dict[str, Any]) -> None:
    response = await client("POST", PATH, body)
    assert response.status_code == 422
    answer = response.json()
    assert [d["field"] for d in answer["detail"]] == FILTERS
    assert all(name in answer["error"] for name in FILTERS)


async def test_unknown_fields_are_named(client: Client) -> None:
    response = await client("POST", PATH, {"id": ["m"]})
    assert response.status_code == 422
    assert response.json()["error"] == "id: unknown field; did you mean ids?"


async def test_named_messages_in_error_are_sent_again(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    smtp.on("MAIL", "550 5.7.1 not today")
    await client.add("m1", "m2", "m3")
    await client.in_state("error", "m1", "m2", "m3")
    smtp.forget_script()

    body = {"ids": ["m2", "m1", "m2", "nobody"]}
    answer = {"ok": True, "requeued": 2, "not_found": ["nobody"], "not_failed": []}
    assert await client.ok("POST", PATH, body | {"dry_run": True}) == answer
    assert (await client.message("m1"))["status"] == "error"
    assert await client.ok("POST", PATH, body) == answer

    await client.in_state("sent", "m1", "m2")
    assert (await client.message("m3"))["status"] == "error"
    shown = await client.message("m1")
    assert (shown["retry_count"], shown["error"], shown["error_ts"]) == (0, None, None)
    kinds = [e["event_type"] for e in await client.events("m1")]
    assert kinds == ["queued", "error", "queued", "sent"]
    assert await client.ok("POST", PATH, body) == {
        "ok": True,
        "requeued": 0,
        "not_found": ["nobody"],
        "not_failed": ["m1", "m2"],
    }
    assert len(smtp.accepted) == 2


async def test_a_batch_is_sent_again_in_its_order(client: Client, smtp: ScriptedSmtpServer) -> None:
    await client.account(smtp, max_connections=1)
    smtp.on("MAIL", "550 5.7.1 not today")
    ids = [f"m{n}" for n in range(20)]
    await client.add(*ids, batch_code="spring")
    await client.add("other", batch_code="autumn")
    await client.in_state("error", *ids, "other")
    smtp.forget_script()

    assert (await client.ok("POST", PATH, {"batch_code": "spring"}))["requeued"] == 20

    mails = await smtp.received(20)
    sent = [line for m in mails for line in m.data.decode().splitlines() if "X-Genro" in line]
    assert sent == [f"X-Genro-Mail-ID: {i}" for i in ids]
    assert (await client.message("other"))["status"] == "error"


async def test_a_tenant_key_reaches_its_own_messages_only(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    key = await client.tenant("t")
    await client.account(smtp, tenant_id="default")
    smtp.on("MAIL", "550 5.7.1 not today")
    await client.add("m", tenant_id="default")
    response = await client("POST", f"{PATH}?tenant_id=default", {"ids": ["m"]}, token=key)
    assert response.status_code == 403
    answer = await client.ok("POST", PATH, {"ids": ["m"]}, token=key)
    assert (answer["requeued"], answer["not_found"]) == (0, ["m"])
    response = await client("POST", PATH, {"ids": ["m"]})
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == "tenant_id"


async def test_a_refused_week_is_repaired_in_one_call(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    smtp.on_recipient("late@example.net", "450 4.2.0 later")
    smtp.on("MAIL", "550 5.7.1 sender not permitted", times=2)
    await client.add("m1", "m2", batch_code="spring")
    await client.in_state("error", "m1", "m2")
    await client.add("m3", to=["late@example.net"])
    await client.in_state("deferred", "m3")
    created = (await client.message("m1"))["created_ts"]
    smtp.forget_script()

    body = {"account_id": "smtp", "from_ts": created, "error_like": "NOT PERMITTED", "now": True}
    assert (await client.ok("POST", PATH, body | {"to_ts": created - 1}))["requeued"] == 0
    assert (await client.ok("POST", PATH, body))["requeued"] == 2
    await client.in_state("sent", "m1", "m2")
    assert (await client.message("m3"))["status"] == "deferred"

    later = {"from_ts": created, "now": True}
    assert (await client.ok("POST", PATH, later | {"dry_run": True}))["requeued"] == 1
    assert (await client.ok("POST", PATH, later))["requeued"] == 1
    await client.in_state("sent", "m3")
