"""Bounces from a real mailbox, recorded at their messages and reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from tests.harness.imap_server import PASSWORD, Dovecot
from tests.harness.patience import PATIENCE_SECONDS
from tests.protocols.rest.client import ONE_DATABASE, Client, eventually, serving

from mail_proxy.config import ProxyConfig
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import SyncEndpoint


@pytest.fixture
def user() -> str:
    return f"bounces-{uuid4().hex[:12]}"


@pytest.fixture
async def client(
    config: ProxyConfig, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
) -> AsyncIterator[Client]:
    async with serving(config) as client:
        await client.ok("PUT", "/tenant/default", {"client_base_url": endpoint.url})
        await client.account(smtp)
        yield client


def mailbox(dovecot: Dovecot, user: str, **changes: Any) -> dict[str, Any]:
    return {
        "enabled": True,
        "imap_host": "127.0.0.1",
        "imap_port": dovecot.port,
        "imap_user": user,
        "imap_password": PASSWORD,
        "imap_tls": "none",
        "poll_interval": 5,
        **changes,
    }


def report(
    returned: bytes = b"", recipient: str = "b@example.net", status: str = "5.1.1", to: str = ""
) -> bytes:
    """A delivery status notification (RFC 3464) about a message."""
    action = "failed" if status.startswith("5") else "delayed"
    head = returned.partition(b"\r\n\r\n")[0].decode() or "Subject: lost"
    return (
        "From: MAILER-DAEMON@mx.example.net\r\n"
        f"To: {to or 'bounces@example.org'}\r\n"
        "Subject: Undelivered Mail Returned to Sender\r\n"
        f"Message-ID: <{uuid4()}@mx.example.net>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;"
        ' boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n'
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n"
        f"\r\nFinal-Recipient: rfc822; {recipient}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; 550 {status} no such user\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{head}\r\n--b--\r\n"
    ).encode()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():
            await asyncio.sleep(0.02)


async def bounces(client: Client, id_: str) -> list[dict[str, Any]]:
    return [e["event_data"] for e in await client.events(id_) if e["event_type"] == "bounce"]


async def test_a_bounce_is_recorded_reported_and_suppresses_the_address(
    client: Client, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint, dovecot: Dovecot, user: str
) -> None:
    await client.add("m", to=["b@example.net", "c@example.net"])
    await client.in_state("sent", "m")
    dovecot.append(user, report(smtp.accepted[0].data), b"Subject: hello\r\n\r\nfrom a person\r\n")
    await client.ok("PUT", "/instance/bounce", mailbox(dovecot, user))

    def reported() -> list[dict[str, Any]]:
        entries = [e for call in endpoint.calls for e in call.reports]
        return [entry for entry in entries if "bounce_ts" in entry]

    await eventually(lambda: bool(reported()))
    entry = reported()[0]
    assert (entry["id"], entry["bounce_type"], entry["bounce_code"]) == ("m", "hard", "5.1.1")
    assert (entry["bounce_recipient"], entry["bounce_category"]) == (
        "b@example.net",
        "unknown_user",
    )
    shown = await client.message("m")
    assert (shown["status"], shown["bounce_type"], shown["bounce_recipient"]) == (
        "sent",
        "hard",
        "b@example.net",
    )
    (listed,) = (await client.ok("GET", "/suppressions"))["suppressions"]
    assert (listed["address"], listed["reason"], listed["message_id"]) == (
        "b@example.net",
        "bounce",
        "m",
    )

    async def is_settled() -> bool:
        # The bounce is deleted, and the mail of a person stays.
        return await asyncio.to_thread(dovecot.flags, user) == {2: b"\\Seen"}

    await until(is_settled)
    state = (await client.ok("GET", "/instance/bounce"))["bounce"]
    assert (state["imap_password"], state["state"]["error"]) == ("********", None)
    await client.add("again", to=["b@example.net"])
    await client.in_state("error", "again")
    totals = (await client.ok("GET", "/stats"))["stats"]
    assert sum(row["bounced"] for row in totals) == 1


async def test_each_bounce_is_handled_once_over_restarts_in_the_middle(
    config: ProxyConfig,
    smtp: ScriptedSmtpServer,
    dovecot: Dovecot,
    user: str,
) -> None:
    ids = [f"m{number}" for number in range(60)]
    async with serving(config) as client:
        await client.account(smtp)
        await client.add(*ids)
        await client.in_state("sent", *ids)
    await asyncio.to_thread(dovecot.append, user, *(report(mail.data) for mail in smtp.accepted))
    handled = 0
    while handled < len(ids):
        async with serving(config) as client:
            await client.ok(
                "PUT", "/instance/bounce", mailbox(dovecot, user, after_processing="seen")
            )

            async def has_more(client: Client = client, before: int = handled) -> bool:
                return await counted(client) > before

            await until(has_more)
            handled = await counted(client)
    async with serving(config) as client:
        assert [len(await bounces(client, id_)) for id_ in ids] == [1] * len(ids)


async def counted(client: Client) -> int:
    rows = (await client.ok("GET", "/stats"))["stats"]
    return sum(row["bounced"] for row in rows)


async def test_a_folder_that_is_made_again_is_read_and_nothing_counts_twice(
    client: Client, smtp: ScriptedSmtpServer, dovecot: Dovecot, user: str
) -> None:
    await client.add("one", "two")
    await client.in_state("sent", "one", "two")
    mails = [report(mail.data) for mail in smtp.accepted]
    folder = {"imap_folder": "Bounces", "after_processing": "move:Done"}
    dovecot.append(user, mails[0], folder="Bounces")
    await client.ok("PUT", "/instance/bounce", mailbox(dovecot, user, **folder))

    async def has(count: int) -> bool:
        return await counted(client) == count

    await until(lambda: has(1))
    await asyncio.to_thread(dovecot.recreate, user, "Bounces", mails)
    await client.ok("POST", "/instance/bounce/reload")
    await until(lambda: has(2))

    async def is_empty() -> bool:
        return await asyncio.to_thread(dovecot.flags, user, "Bounces") == {}

    await until(is_empty)
    assert await has(2)


async def test_the_token_of_the_envelope_sender_names_the_message(
    client: Client, smtp: ScriptedSmtpServer, dovecot: Dovecot, user: str
) -> None:
    await client.ok(
        "PUT", "/instance/bounce", mailbox(dovecot, user, return_path="bounces@example.org")
    )
    await client.add("verp")
    await client.add("own", return_path="own@example.org")
    await client.in_state("sent", "verp", "own")
    senders = {mail.mail_from for mail in smtp.accepted}
    assert "own@example.org" in senders
    (token,) = senders - {"own@example.org"}
    assert token.startswith("bounces+")
    assert token.endswith("@example.org")
    await asyncio.to_thread(dovecot.append, user, report(to=token))

    async def is_there() -> bool:
        return bool(await bounces(client, "verp"))

    await until(is_there)


async def test_a_mailbox_that_cannot_be_read_is_shown_and_read_when_it_works(
    client: Client, smtp: ScriptedSmtpServer, dovecot: Dovecot, user: str
) -> None:
    wrong = mailbox(dovecot, user, imap_password="another")
    await client.ok("PUT", "/instance/bounce", wrong)

    async def error() -> str | None:
        shown = (await client.ok("GET", "/instance/bounce"))["bounce"]["state"]["error"]
        return None if shown is None else str(shown)

    async def fails() -> bool:
        return "login" in (await error() or "")

    await until(fails)
    full = await client.ok("GET", "/status?full=true")
    assert "mailbox_failing" in [trouble["code"] for trouble in full["attention"]]
    await client.ok("PUT", "/instance/bounce", {"imap_password": PASSWORD})

    async def works() -> bool:
        return await error() is None

    await until(works)


@ONE_DATABASE
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"enabled": True}, "imap_host"),
        ({"imap_tls": "tls"}, "imap_tls"),
        ({"after_processing": "burn"}, "after_processing"),
        ({"poll_interval": 1}, "poll_interval"),
        ({"imap_hots": "x"}, "imap_hots"),
    ],
)
async def test_wrong_settings_are_refused_by_name(
    client: Client, body: dict[str, Any], field: str
) -> None:
    answer = await client("PUT", "/instance/bounce", body)
    assert answer.status_code == 422
    assert field in [mistake["field"] for mistake in answer.json()["detail"]]


@ONE_DATABASE
async def test_another_host_asks_for_the_password_again(
    client: Client, dovecot: Dovecot, user: str
) -> None:
    await client.ok("PUT", "/instance/bounce", mailbox(dovecot, user, enabled=False))
    moved = await client("PUT", "/instance/bounce", {"imap_host": "imap.example.net"})
    assert moved.status_code == 422
    assert "give it again" in moved.json()["detail"][0]["message"]
