"""POST /commands/retry-messages"""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocols.rest.client import Client

from mail_proxy.testing.smtp_server import ScriptedSmtpServer

PATH = "/commands/retry-messages"


@pytest.mark.parametrize("body", [{}, {"ids": ["m"], "batch_code": "b"}, {"ids": None}])
async def test_exactly_one_of_ids_and_batch_code_is_needed(
    client: Client, body: dict[str, Any]
) -> None:
    response = await client("POST", PATH, body)
    assert response.status_code == 422
    answer = response.json()
    assert [d["field"] for d in answer["detail"]] == ["ids", "batch_code"]
    assert "ids" in answer["error"]
    assert "batch_code" in answer["error"]


async def test_unknown_fields_are_named(client: Client) -> None:
    response = await client("POST", PATH, {"id": ["m"]})
    assert response.status_code == 422
    assert response.json()["error"] == "id: unknown field"


async def test_named_messages_in_error_are_sent_again(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    smtp.on("MAIL", "550 5.7.1 not today")
    await client.add("m1", "m2", "m3")
    await client.in_state("error", "m1", "m2", "m3")
    smtp.forget_script()

    body = {"ids": ["m2", "m1", "m2", "nobody"]}
    assert await client.ok("POST", PATH, body) == {"ok": True, "requeued": 2}

    await client.in_state("sent", "m1", "m2")
    assert (await client.message("m3"))["status"] == "error"
    shown = await client.message("m1")
    assert (shown["retry_count"], shown["error"], shown["error_ts"]) == (0, None, None)
    kinds = [e["event_type"] for e in await client.events("m1")]
    assert kinds == ["queued", "error", "queued", "sent"]
    assert await client.ok("POST", PATH, body) == {"ok": True, "requeued": 0}
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
    assert answer["requeued"] == 0
    response = await client("POST", PATH, {"ids": ["m"]})
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == "tenant_id"
