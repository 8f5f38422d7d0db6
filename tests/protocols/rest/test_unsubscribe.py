"""One-click unsubscribe: header fields, hosted page, suppression, event."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from email import message_from_bytes
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client, serving

from mail_proxy.config import ProxyConfig
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

URL = "https://shop.example/u/1"
BOB = "bob@example.net"


@pytest.fixture
async def hosting(config: ProxyConfig, smtp: ScriptedSmtpServer) -> AsyncIterator[Client]:
    """A service with a public URL and an account."""
    public = {"public_url": "https://mail.example/proxy/"}
    async with serving(config.model_copy(update=public)) as client:
        await client.account(smtp)
        yield client


async def sent(client: Client, smtp: ScriptedSmtpServer, id_: str, **fields: Any) -> Any:
    await client.add(id_, **fields)
    await client.in_state("sent", id_)
    return message_from_bytes(smtp.accepted[-1].data)


async def rejected(client: Client, **fields: Any) -> str:
    mail = {"id": "x", "from": "a@example.org", "to": [BOB], "subject": "s", "body": "b", **fields}
    response = await client("POST", "/commands/add-messages", {"messages": [mail]})
    assert response.status_code == 400, response.text
    return str(response.json()["detail"]["rejected"][0]["reason"])


def path_of(mail: Any) -> str:
    """The path of the hosted page, below the public URL."""
    found = re.fullmatch(r"<(https://mail\.example/proxy(/u/[A-Za-z0-9_-]+))>", uris(mail))
    assert found is not None
    return found[2]


def uris(mail: Any) -> str:
    return " ".join(mail["List-Unsubscribe"].split())


async def test_the_hosted_page_unsubscribes_with_one_click(
    hosting: Client, smtp: ScriptedSmtpServer
) -> None:
    mail = await sent(hosting, smtp, "news-1", to=[BOB], list_unsubscribe=True)
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = path_of(mail)
    assert "bob" not in path
    page = await hosting.http.get(path)
    assert page.status_code == 200
    assert page.text.count("<button>") == 1
    assert "set-cookie" not in page.headers
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"
    italian = await hosting.http.get(path, headers={"Accept-Language": "it-IT, en"})
    assert "Annulla" in italian.text
    assert (await hosting.ok("GET", "/suppressions"))["suppressions"] == []
    # As mail providers do it, and again, and as the button does it.
    for body in ("List-Unsubscribe=One-Click", "List-Unsubscribe=One-Click", ""):
        answer = await hosting.http.post(
            path,
            content=body,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.status_code == 200
        assert "unsubscribed" in answer.text
    (entry,) = (await hosting.ok("GET", "/suppressions"))["suppressions"]
    assert (entry["address"], entry["reason"], entry["message_id"]) == (
        BOB,
        "unsubscribed",
        "news-1",
    )
    events = [e for e in await hosting.events("news-1") if e["event_type"] == "unsubscribe"]
    assert [e["event_data"] for e in events] == [{"recipient": BOB}]
    await hosting.add("news-2", to=[BOB], list_unsubscribe=True)
    await hosting.in_state("error", "news-2")
    # Subscribed again, then the same old link once more.
    await hosting.ok("DELETE", f"/suppression/{BOB}")
    assert (await hosting.http.post(path)).status_code == 200
    assert len((await hosting.ok("GET", "/suppressions"))["suppressions"]) == 1


async def test_the_application_hears_of_it(
    config: ProxyConfig, smtp: ScriptedSmtpServer, endpoint: Any
) -> None:
    public = config.model_copy(update={"public_url": "https://mail.example/proxy"})
    async with serving(public) as client:
        tenant = {"client_base_url": endpoint.url}
        await client.ok("PUT", "/tenant/default", tenant)
        await client.account(smtp)
        path = path_of(await sent(client, smtp, "n", to=[BOB], list_unsubscribe=True))
        await client.http.post(path)
        async with asyncio.timeout(60):
            while not (told := [r for c in endpoint.calls for r in c.reports if "recipient" in r]):
                await asyncio.sleep(0.01)
        assert told[0]["id"] == "n"
        assert told[0]["recipient"] == BOB
        assert isinstance(told[0]["unsubscribe_ts"], int)


async def test_a_link_outlives_its_message(hosting: Client, smtp: ScriptedSmtpServer) -> None:
    path = path_of(await sent(hosting, smtp, "old", to=[BOB], list_unsubscribe=True))
    await hosting.ok("POST", "/commands/delete-messages", {"ids": ["old"]})
    assert (await hosting("GET", "/messages/old")).status_code == 404
    assert (await hosting.http.post(path)).status_code == 200
    (entry,) = (await hosting.ok("GET", "/suppressions"))["suppressions"]
    assert entry["reason"] == "unsubscribed"


async def test_an_address_that_bounced_is_unsubscribed_then(
    hosting: Client, smtp: ScriptedSmtpServer
) -> None:
    path = path_of(await sent(hosting, smtp, "n", to=[BOB], list_unsubscribe=True))
    await hosting.ok("POST", "/suppression", {"address": BOB, "reason": "bounce"})
    for _ in range(2):
        await hosting.http.post(path)
    (entry,) = (await hosting.ok("GET", "/suppressions"))["suppressions"]
    assert entry["reason"] == "unsubscribed"
    events = [e["event_type"] for e in await hosting.events("n")]
    assert events.count("unsubscribe") == 1


@ONE_DATABASE
async def test_a_token_that_was_changed_is_not_valid(
    hosting: Client, smtp: ScriptedSmtpServer
) -> None:
    path = path_of(await sent(hosting, smtp, "n", to=[BOB], list_unsubscribe=True))
    other = "B" if path[10] != "B" else "C"
    forged = [path[:10] + other + path[11:], path[:-5], path + "AAAA", "/u/x", "/u/%00", "/u/é"]
    for wrong in forged:
        for method in ("GET", "POST"):
            answer = await hosting.http.request(method, wrong)
            assert answer.status_code == 404, wrong
            assert "not valid" in answer.text
    assert (await hosting.ok("GET", "/suppressions"))["suppressions"] == []
    # No tenant can make the links of another one: the tenant is part of the token.
    await hosting.ok("POST", "/tenant", {"id": "gone"})
    await hosting.account(smtp, id="g", tenant_id="gone")
    await hosting.add("n", to=[BOB], tenant_id="gone", list_unsubscribe=True)
    mails = await smtp.received(2)
    theirs = path_of(message_from_bytes(mails[-1].data))
    assert theirs != path
    await hosting.ok("DELETE", "/tenant/gone")
    assert (await hosting.http.post(theirs)).status_code == 404


async def test_the_same_message_again_changes_nothing(hosting: Client) -> None:
    mail = {"id": "n", "from": "a@example.org", "to": [BOB], "subject": "s", "body": "b"}
    later = {**mail, "deferred_ts": 4_000_000_000, "list_unsubscribe": True}
    body = {"messages": [later]}
    assert (await hosting.ok("POST", "/commands/add-messages", body))["queued"] == 1
    again = await hosting.ok("POST", "/commands/add-messages", body)
    assert (again["queued"], [d["id"] for d in again["duplicates"]]) == (0, ["n"])


@ONE_DATABASE
@pytest.mark.parametrize(
    ("given", "header", "one_click"),
    [
        ({"url": URL}, f"<{URL}>", True),
        ({"mailto": "Stop <stop@shop.example>"}, "<mailto:stop@shop.example>", False),
        (
            {"url": URL, "mailto": "mailto:stop@shop.example?subject=bob%20out"},
            f"<{URL}>, <mailto:stop@shop.example?subject=bob%20out>",
            True,
        ),
        (False, None, False),
        (None, None, False),
    ],
)
async def test_the_header_fields_of_own_ways(
    client: Client,
    smtp: ScriptedSmtpServer,
    given: Any,
    header: str | None,
    one_click: bool,
) -> None:
    await client.account(smtp)
    mail = await sent(client, smtp, "n", list_unsubscribe=given)
    assert (uris(mail) if header else mail["List-Unsubscribe"]) == header
    assert (mail["List-Unsubscribe-Post"] is not None) is one_click


@ONE_DATABASE
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"list_unsubscribe": True}, "list_unsubscribe: true needs the setting public_url"),
        ({"list_unsubscribe": {}}, "needs url or mailto"),
        ({"list_unsubscribe": {"url": "http://x.example/"}}, "must start with https://"),
        ({"list_unsubscribe": {"url": "https://x.example/a,b"}}, "percent-encode"),
        ({"list_unsubscribe": {"url": "https://x.example/" + "a" * 1000}}, "too long"),
        ({"list_unsubscribe": {"mailto": "nobody"}}, "mailto"),
        ({"list_unsubscribe": {"mailto": "mailto:a@b.example>,<x"}}, "mailto"),
        ({"list_unsubscribe": {"uri": URL}}, "unknown field"),
        (
            {"list_unsubscribe": {"url": URL}, "headers": {"List-Unsubscribe": f"<{URL}>"}},
            "goes without the field",
        ),
    ],
)
async def test_what_cannot_be_written_is_rejected(
    client: Client, smtp: ScriptedSmtpServer, fields: dict[str, Any], words: str
) -> None:
    await client.account(smtp)
    assert words in await rejected(client, **fields)


@ONE_DATABASE
async def test_a_hosted_page_is_for_one_recipient(hosting: Client) -> None:
    reason = await rejected(hosting, to=[BOB, "eve@example.net"], list_unsubscribe=True)
    assert "exactly one recipient, not 2" in reason


@ONE_DATABASE
async def test_the_fields_are_in_the_dkim_signature(
    hosting: Client, smtp: ScriptedSmtpServer
) -> None:
    await hosting.ok("POST", "/dkim", {"domain": "example.org", "algorithm": "ed25519-sha256"})
    mail = await sent(hosting, smtp, "n", to=[BOB], list_unsubscribe=True)
    signature = "".join(mail["DKIM-Signature"].split())
    (signed,) = re.findall(r";h=([^;]+);", signature)
    assert {"list-unsubscribe", "list-unsubscribe-post"} <= set(signed.lower().split(":"))
    assert urlsplit(path_of(mail)).path.startswith("/u/")
