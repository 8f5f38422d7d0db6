"""Answers of people in the bounce mailbox, recorded at their messages and reported."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.protocols.rest.client import Client, eventually, serving

from mail_proxy.config import ProxyConfig
from mail_proxy.testing.imap_server import ImapServer
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import SyncEndpoint

USER, PASSWORD = "bounces", "secret-of-the-mailbox"


@pytest.fixture
async def imap() -> AsyncIterator[ImapServer]:
    async with ImapServer({USER: PASSWORD}) as server:
        yield server


@pytest.fixture
async def client(
    config: ProxyConfig, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
) -> AsyncIterator[Client]:
    async with serving(config) as client:
        await client.ok("PUT", "/tenant/default", {"client_base_url": endpoint.url})
        await client.account(smtp)
        yield client


async def watch(client: Client, imap: ImapServer, **changes: Any) -> None:
    body = {
        "enabled": True,
        "imap_host": imap.host,
        "imap_port": imap.port,
        "imap_user": USER,
        "imap_password": PASSWORD,
        "imap_tls": "none",
        "poll_interval": 5,
        "return_path": "bounces@example.org",
        "detect_replies": True,
        **changes,
    }
    await client.ok("PUT", "/instance/bounce", body)


def answer(**fields: str) -> bytes:
    head = {"From": "Ann <ann@example.net>", "Subject": "Re: s", **fields}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in head.items()]
    return ("\r\n".join(lines) + "\r\n\r\nThank you.\r\n> b\r\n").encode()


def message_id(mail: bytes) -> str:
    head = mail.partition(b"\r\n\r\n")[0].decode()
    (found,) = [x for x in head.split("\r\n") if x.lower().startswith("message-id:")]
    return found.partition(":")[2].strip()


async def seen(imap: ImapServer, count: int) -> None:
    def are_seen() -> bool:
        return sum("\\Seen" in mail.flags for mail in imap.mails(USER)) == count

    await eventually(are_seen)


async def test_answers_are_recorded_reported_kept_and_stay_in_the_mailbox(
    client: Client, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint, imap: ImapServer
) -> None:
    await watch(client, imap)
    await client.add("m", "other")
    await client.in_state("sent", "m", "other")
    mails = {message_id(mail.data): mail for mail in smtp.accepted}
    (own,) = [i for i, mail in mails.items() if b"X-Genro-Mail-ID: m\r\n" in mail.data]
    by_id = answer(In_Reply_To=own)
    by_token = answer(To=mails[own].mail_from, Subject="=?utf-8?q?Gr=C3=BC=C3=9Fe?=")
    automatic = answer(In_Reply_To=own, Auto_Submitted="auto-replied")
    foreign = answer(In_Reply_To="<unknown@example.org>", To="somebody@example.org")
    for mail in (by_id, automatic, foreign, by_token):
        imap.append(USER, mail)

    def reported() -> list[dict[str, Any]]:
        entries = [e for call in endpoint.calls for e in call.reports]
        return [entry for entry in entries if "reply_ts" in entry]

    await eventually(lambda: len(reported()) == 2)
    entry = reported()[0]
    assert (entry["id"], entry["sender"], entry["subject"], entry["excerpt"]) == (
        "m",
        "ann@example.net",
        "Re: s",
        "Thank you.",
    )
    replies = (await client.ok("GET", "/messages/m/replies"))["replies"]
    assert [base64.b64decode(reply["raw"]) for reply in replies] == [by_id, by_token]
    assert replies[1]["subject"] == "Grüße"
    assert (await client.ok("GET", "/messages/other/replies"))["replies"] == []
    # The automatic answer is none of a person, and is settled as a bounce.
    await seen(imap, 3)
    assert [mail.octets for mail in imap.mails(USER)] == [by_id, foreign, by_token]
    assert (await client.message("m"))["status"] == "sent"
    await client.reported("m")
    removed = await client.ok("POST", "/commands/delete-messages", {"ids": ["m"]})
    assert removed["removed"] == 1
    assert (await client("GET", "/messages/m/replies")).status_code == 404


async def test_without_the_setting_answers_are_left_alone(
    client: Client, smtp: ScriptedSmtpServer, imap: ImapServer
) -> None:
    await watch(client, imap, detect_replies=False)
    await client.add("m")
    await client.in_state("sent", "m")
    imap.append(USER, answer(In_Reply_To=message_id(smtp.accepted[0].data)))
    await seen(imap, 1)
    assert (await client.ok("GET", "/messages/m/replies"))["replies"] == []


async def test_replies_of_one_message_are_bounded_in_number_and_size(
    client: Client,
    smtp: ScriptedSmtpServer,
    imap: ImapServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mail_proxy.features.replies.recording.MOST_REPLIES", 3)
    await client.add("m")
    await client.in_state("sent", "m")
    own = message_id(smtp.accepted[0].data)
    mails = [answer(In_Reply_To=own, Subject=f"Re: {number}") for number in range(5)]
    monkeypatch.setattr(
        "mail_proxy.features.replies.recording.MOST_KEPT_BYTES", 3 * len(mails[0]) - 1
    )
    for mail in mails:
        imap.append(USER, mail)
    await watch(client, imap)
    await seen(imap, 5)
    replies = (await client.ok("GET", "/messages/m/replies"))["replies"]
    assert [reply["subject"] for reply in replies] == ["Re: 0", "Re: 1", "Re: 2"]
    assert [reply["raw"] is None for reply in replies] == [False, False, True]
