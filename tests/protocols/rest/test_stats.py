"""GET /stats: counters by hour or day, of one tenant or of all."""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client

from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import SyncEndpoint
from mail_proxy.wire.cursors import dump_cursor

#: Cursors of another listing, and with a NUL.
_OF_ACCOUNTS = dump_cursor(["hour", "account", 0, "default", "smtp"])
_WITH_NUL = dump_cursor(["hour", "tenant", 0, "\0", ""])
COUNTERS = ("queued", "sent", "deferred", "error", "bounced", "complained", "reported")


async def totals(client: Client, query: str = "", **options: Any) -> dict[str, int]:
    """The counters of all rows, added up: the test may begin just before a full hour."""
    rows = (await client.ok("GET", f"/stats{query}", **options))["stats"]
    return {name: sum(row[name] for row in rows) for name in COUNTERS}


async def test_what_happens_to_messages_is_counted(
    client: Client, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
) -> None:
    await client.ok("PUT", "/tenant/default", {"client_base_url": endpoint.url})
    smtp.on_recipient("later@example.net", "450 4.2.1 mailbox busy")
    smtp.on_recipient("never@example.net", "550 5.1.1 no such user")
    await client.account(smtp)
    await client.add("s1", "s2")
    await client.add("d", to=["later@example.net"])
    await client.add("e", to=["never@example.net"])
    await client.in_state("sent", "s1", "s2")
    await client.in_state("deferred", "d")
    await client.in_state("error", "e")
    await client.reported("s1", "s2", "d", "e")
    expected = {"queued": 4, "sent": 2, "deferred": 1, "error": 1, "reported": 4}
    expected = {**dict.fromkeys(COUNTERS, 0), **expected}
    assert await totals(client) == expected
    assert await totals(client, "?bucket=day&by=account") == expected
    await client.ok("POST", "/commands/delete-messages", {"ids": ["s1", "d"]})
    assert await totals(client) == expected


async def test_replacing_and_repeating_count_no_second_message(idle: Client) -> None:
    await idle.add("m", "n")
    await idle.add("m", "n")
    await idle.add("m", subject="another")
    assert (await totals(idle))["queued"] == 2


async def test_each_row_names_its_tenant_and_its_account(idle: Client) -> None:
    key = await idle.tenant("t")
    await idle.ok("POST", "/account", {"id": "own", "host": "127.0.0.1", "tenant_id": "t"})
    for tenant in ("default", "t"):
        await idle.add("m", tenant_id=tenant)
    rows = (await idle.ok("GET", "/stats?by=account"))["stats"]
    assert [(row["tenant_id"], row["account_id"]) for row in rows] == [
        ("default", "smtp"),
        ("t", "own"),
    ]
    last = rows[-1]["bucket_ts"]
    assert rows[-1] in (await idle.ok("GET", f"/stats?by=account&from_ts={last}"))["stats"]
    by_tenant = (await idle.ok("GET", "/stats"))["stats"]
    assert "account_id" not in by_tenant[0]
    assert [row["tenant_id"] for row in by_tenant] == ["default", "t"]
    own = (await idle.ok("GET", "/stats", token=key))["stats"]
    assert [row["tenant_id"] for row in own] == ["t"]
    assert (await idle.ok("GET", "/stats?tenant_id=default"))["stats"] == by_tenant[:1]


async def test_all_tenants_together_have_one_row_in_a_bucket(idle: Client) -> None:
    key = await idle.tenant("t")
    await idle.ok("POST", "/account", {"id": "own", "host": "127.0.0.1", "tenant_id": "t"})
    for tenant in ("default", "t"):
        await idle.add("m", tenant_id=tenant)
    rows = (await idle.ok("GET", "/stats?by=all&bucket=day"))["stats"]
    assert {row["tenant_id"] for row in rows} == {"*"}
    assert sum(row["queued"] for row in rows) == 2
    assert await totals(idle, "?by=all") == await totals(idle)
    own = (await idle.ok("GET", "/stats?by=all", token=key))["stats"]
    assert {(row["tenant_id"], row["queued"]) for row in own} == {("t", 1)}


async def test_a_page_ends_with_a_cursor(idle: Client) -> None:
    await idle.tenant("t")
    await idle.ok("POST", "/account", {"id": "own", "host": "127.0.0.1", "tenant_id": "t"})
    for tenant in ("default", "t"):
        await idle.add("m", tenant_id=tenant)
    whole = (await idle.ok("GET", "/stats?by=account"))["stats"]
    first = await idle.ok("GET", "/stats?by=account&limit=1")
    second = await idle.ok("GET", f"/stats?by=account&limit=1&cursor={first['next_cursor']}")
    assert [*first["stats"], *second["stats"]] == whole
    assert second["next_cursor"] is None


@ONE_DATABASE
@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("from_ts=0", "from_ts", "the range has over 744 buckets; give a later from_ts; or"),
        ("from_ts=0&bucket=day", "from_ts", "the range has over 3660 buckets"),
        ("from_ts=5000&to_ts=4000", "from_ts", "must be before to_ts"),
        ("from_ts=yesterday", "from_ts", "is not a time"),
        ("bucket=minute", "bucket", "allowed: hour, day"),
        ("by=recipient", "by", "allowed: tenant, account"),
        ("limit=10001", "limit", "too large; at most 10000"),
        (f"bucket=day&cursor={_OF_ACCOUNTS}", "cursor", "must be a next_cursor of this listing"),
        (f"by=tenant&cursor={_OF_ACCOUNTS}", "cursor", "must be a next_cursor of this listing"),
        ("cursor=abc", "cursor", "must be a next_cursor of this listing"),
        (
            "cursor=WyJob3VyIiwidGVuYW50IiwxLDIsM10",
            "cursor",
            "must be a next_cursor of this listing",
        ),
        (f"cursor={_WITH_NUL}", "cursor", "must be a next_cursor of this listing"),
    ],
)
async def test_a_wrong_query_is_refused_with_what_is_allowed(
    idle: Client, query: str, field: str, words: str
) -> None:
    response = await idle("GET", f"/stats?{query}")
    assert response.status_code == 422
    (mistake,) = response.json()["detail"]
    assert mistake["field"] == field
    assert mistake["message"].startswith(words)


@ONE_DATABASE
async def test_a_range_without_messages_is_empty(idle: Client) -> None:
    for query in ("", "?to_ts=0", "?from_ts=0&to_ts=3600", "?to_ts=9999-12-31T00:00:00Z"):
        assert await idle.ok("GET", f"/stats{query}") == {
            "ok": True,
            "stats": [],
            "next_cursor": None,
        }
