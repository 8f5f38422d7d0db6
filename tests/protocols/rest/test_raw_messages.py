"""Raw messages in POST /commands/add-messages, and as listings show them"""

from __future__ import annotations

from typing import Any

from tests.harness.raw_messages import PLAIN, encoded, raw_mail, with_attachment, without
from tests.protocols.rest.client import ONE_DATABASE, Client, serving

from mail_proxy import MailProxy, ProxyConfig

PATH = "/commands/add-messages"
LATIN = PLAIN.replace(b"About m1", b"=?iso-8859-1?q?Gr=FC=DFe?=").replace(b"Hello", b"J\xf6rg")
NAMELESS = without(LATIN, b"message-id")
OTHER = {"from": "a@example.org", "to": "b@example.net", "subject": "s", "body": "b"}


async def add(client: Client, *records: dict[str, Any]) -> dict[str, Any]:
    return await client.ok("POST", PATH, {"messages": list(records)})


async def listed(client: Client, query: str) -> list[str]:
    found = await client.ok("GET", f"/messages?{query}")
    return [message["id"] for message in found["messages"]]


async def test_listings_show_a_raw_message_as_any_other(idle: Client) -> None:
    large = LATIN.replace(b"Hello", b"x" * 20_000)
    await add(idle, raw_mail(LATIN), raw_mail(large, "m2", bcc="Zoe <zoe@example.net>"))
    shown = await idle.message("m1")
    assert {name: shown[name] for name in ("from", "to", "cc", "bcc", "subject", "message_id")} == {
        "from": "Ann <ann@example.org>",
        "to": ["bob@example.net"],
        "cc": [],
        "bcc": [],
        "subject": "Grüße",
        "message_id": "<given@example.org>",
    }
    other = await idle.message("m2")
    assert (other["to"], other["bcc"]) == ([], ["Zoe <zoe@example.net>"])
    assert other["subject"] == "Grüße"
    assert await listed(idle, "q=gr%C3%BC%C3%9Fe") == ["m2", "m1"]
    assert await listed(idle, "q=bob@example") == ["m1"]
    assert await listed(idle, "q=zoe@example") == ["m2"]


async def test_a_repeated_raw_message_changes_nothing_and_another_replaces_it(
    idle: Client,
) -> None:
    for octets in (NAMELESS, PLAIN, with_attachment(20_000)):
        record = raw_mail(octets)
        first = await add(idle, record)
        assert first["queued"] == 1
        again = await add(idle, record)
        assert (again["queued"], again["duplicates"]) == (0, [{"id": "m1", "status": "pending"}])
    assert first["replaced"] == 1
    answer = await add(idle, {"id": "m1", **OTHER})
    assert (answer["queued"], answer["replaced"]) == (1, 1)
    answer = await add(idle, raw_mail(PLAIN), raw_mail(LATIN), raw_mail(LATIN))
    assert (answer["queued"], answer["replaced"]) == (2, 2)
    assert answer["duplicates"] == [{"id": "m1", "status": "pending"}]
    assert (await idle.message("m1"))["subject"] == "Grüße"


async def test_a_made_message_id_stays_when_a_waiting_message_is_replaced(idle: Client) -> None:
    await add(idle, raw_mail(NAMELESS))
    before = (await idle.message("m1"))["message_id"]
    await add(idle, raw_mail(NAMELESS.replace(b"J\xf6rg", b"Hello")))
    assert (await idle.message("m1"))["message_id"] == before


@ONE_DATABASE
async def test_every_wrong_field_is_named(idle: Client) -> None:
    cases: list[tuple[dict[str, Any], str, str]] = [
        (raw_mail(b""), "raw: is empty", "malformed"),
        ({"id": "m1", "raw": "?"}, "raw: is not base64: '?' at character 1", "malformed"),
        ({"id": "m1", "raw": ["x"]}, "raw: must be a text", "malformed"),
        (
            {"id": "m1", "raw": "YWJ", "priority": 9, "subject": "s", "to": "x"},
            "subject: not together with raw, which is the whole message; "
            "priority: allowed: 0-3, immediate, high, medium, low; "
            "to: 'x' is not a mail address: it has no @; "
            "raw: is not base64: 1 of the padding (=) at its end are missing",
            "malformed",
        ),
        (
            raw_mail(PLAIN, account_id="none", return_path="x", **{"from": "y"}),
            "return_path: 'x' is not a mail address: it has no @; "
            "from: 'y' is not a mail address: it has no @; "
            "account_id: no such account",
            "malformed",
        ),
        (
            {"id": "m1", "raw": encoded(PLAIN + b"x" * 35_000_000)},
            "raw: has more than 35000000 octets; allowed: 35000000",
            "too_large",
        ),
    ]
    await add(idle, {"id": "good", **OTHER})
    for record, reason, code in cases:
        record = {"account_id": "smtp", **record}
        answer = await add(idle, record, {"id": "good", **OTHER})
        (rejected,) = answer["rejected"]
        assert (rejected["reason"], rejected["code"]) == (reason, code)


@ONE_DATABASE
async def test_the_size_of_a_message_is_a_setting(config: ProxyConfig) -> None:
    attachments = config.attachments.model_copy(update={"max_message_mb": 0.001})
    changes = {"scheduler_active": False, "attachments": attachments}
    async with serving(config.model_copy(update=changes)) as client:
        await client.ok("POST", "/account", {"id": "smtp", "host": "127.0.0.1", "tls": "none"})
        answer = await add(client, raw_mail(), raw_mail(PLAIN + b"x" * 1000, "m2"))
    (rejected,) = answer["rejected"]
    assert (rejected["id"], rejected["code"]) == ("m2", "too_large")
    assert rejected["reason"] == "raw: has more than 1000 octets; allowed: 1000"


@ONE_DATABASE
async def test_a_wrong_message_takes_nothing_from_the_others(config: ProxyConfig) -> None:
    body = "x" * 50_000
    long = {"id": "long", "from": "a@example.org", "to": "b@example.net", "subject": "s"}
    changes = {"scheduler_active": False}
    async with serving(config.model_copy(update=changes)) as client:
        await client.ok("POST", "/account", {"id": "smtp", "host": "127.0.0.1", "tls": "none"})
        records = [raw_mail(), {**long, "body": body}]
        await add(client, *records, {**long, "id": "wrong", "to": "nobody", "body": ""})
        again = await add(client, *records)
    assert {each["id"] for each in again["duplicates"]} == {"m1", "long"}
    assert again["replaced"] == 0


@ONE_DATABASE
async def test_python_takes_raw_messages_too(config: ProxyConfig) -> None:
    async with await MailProxy.create(config.model_copy(update={"scheduler_active": False})) as p:
        account = {"id": "smtp", "host": "127.0.0.1", "tls": "none"}
        await p.handle_command("addAccount", account)
        answer = await p.handle_command("addMessages", {"messages": [raw_mail()]})
        assert (answer["ok"], answer["queued"]) == (True, 1)
        (message,) = (await p.handle_command("listMessages", {}))["messages"]
        assert message["subject"] == "About m1"
