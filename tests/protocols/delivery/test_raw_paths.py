"""Raw messages that are read from their place right before they are sent"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.harness.file_server import File, file_server
from tests.harness.raw_messages import PLAIN, encoded, with_attachment, without
from tests.harness.running import Post, running
from tests.protocols.delivery.conftest import Settings
from tests.protocols.delivery.test_raw_messages import ONE_DATABASE, added

from mail_proxy.features.suppressions import operations as suppressions
from mail_proxy.operations import messages
from mail_proxy.operations.callers import Caller
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.wire.messages import MessageQuery, RetryMessages
from mail_proxy.wire.suppressions import SuppressionIn

TO = "carl@example.net"


def settings(config: Settings, **changes: Any) -> Any:
    return config(attachments={"allow_private_urls": ["127.0.0.0/8"], **changes})


async def test_a_message_is_read_from_a_url(config: Settings, server: ScriptedSmtpServer) -> None:
    bare = without(PLAIN, b"date", b"message-id", b"x-genro")
    async with file_server() as files:
        files.files["/a.eml"] = File(bare.replace(b"\r\n", b"\n"))
        async with running(settings(config)) as post:
            await post.account(server)
            await post.add({"id": "m1", "raw_path": files.url("/a.eml"), "to": TO})
            shown = await post.message("m1")
            await post.reports.sent("m1")
    (accepted,) = server.accepted
    lines = added(bare, accepted.data)
    assert [line.partition(b":")[0] for line in lines] == [
        *(b"Date", b"Message-ID", b"X-Genro-Mail-ID")
    ]
    assert lines[1].partition(b": ")[2].decode() == shown.message_id
    assert (accepted.mail_from, accepted.recipients) == ("ann@example.org", (TO,))
    assert (shown.sender, shown.subject, shown.to) == ("", "", [TO])


@pytest.mark.parametrize("workers", [0, 1])
async def test_a_message_is_read_from_a_file(
    config: Settings, server: ScriptedSmtpServer, tmp_path: Path, workers: int
) -> None:
    octets = with_attachment(2_000_000)
    (tmp_path / "a.eml").write_bytes(octets)
    changes = {"attachment_roots": [tmp_path], "max_attachment_mb": 0.1}
    async with running(config(attachments=changes, concurrency={"workers": workers})) as post:
        await post.account(server)
        record = {"raw_path": f"{tmp_path}/a.eml", "to": TO, "from": "box@example.com"}
        await post.add({"id": "m1", **record}, {"id": "m2", **record, "return_path": ""})
        await post.reports.sent("m1", "m2")
    assert {accepted.mail_from for accepted in server.accepted} == {"box@example.com", ""}
    for accepted in server.accepted:
        assert len(added(octets, accepted.data)) == 3


@pytest.mark.parametrize("place", ["file", "storage", "application"])
async def test_the_header_names_the_recipients(
    config: Settings, server: ScriptedSmtpServer, tmp_path: Path, place: str
) -> None:
    octets = without(PLAIN, b"to:").replace(
        b"\r\n\r\n", b"\r\nTo: a@example.net\r\nCc: b@example.net\r\nBcc: c@example.net\r\n\r\n", 1
    )
    (tmp_path / "a.eml").write_bytes(octets)
    paths = {"file": f"{tmp_path}/a.eml", "storage": "docs:a.eml", "application": "mails/7"}
    async with file_server() as web:
        web.files["/mail-proxy/attachments"] = File(octets)
        async with running(config(attachments={"attachment_roots": [tmp_path]})) as post:
            await post.account(server)
            await post.tenant("default", client_base_url=web.url(""))
            await post.storage("docs", "local", {"base_path": str(tmp_path)})
            await suppress(post, "b@example.net")
            server.on("RCPT", "450 later", times=1)
            await post.add({"id": "m1", "raw_path": paths[place]})
            shown = await post.in_state("m1", "deferred")
            assert {each["address"]: each["status"] for each in shown.recipients or []} == {
                "a@example.net": "deferred",
                "b@example.net": "failed",
                "c@example.net": "sent",
            }
            again = RetryMessages(ids=["m1"], now=True)
            await post.proxy.door.call(messages.retry, Caller(None), again)
            await post.in_state("m1", "sent")
            assert await found(post, "C@example") == ["m1"]
    assert [accepted.recipients for accepted in server.accepted] == [
        *(("c@example.net",), ("a@example.net",)),
    ]
    assert b"Bcc" not in server.accepted[0].data


async def suppress(post: Post, address: str) -> None:
    request = SuppressionIn(address=address)
    await post.proxy.door.call(suppressions.add, Caller(None), request)


async def found(post: Post, text: str) -> list[str]:
    request = MessageQuery.model_validate({"q": text})
    page = await post.proxy.door.call(messages.list_messages, Caller(None), request)
    return [each.id for each in page.messages]


async def test_base64_is_a_message_like_any_other(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with running(config()) as post:
        await post.account(server)
        await post.add({"id": "m1", "raw_path": f"BASE64:{encoded(PLAIN)}"})
        await post.reports.sent("m1")
        assert (await post.message("m1")).subject == "About m1"
    (accepted,) = server.accepted
    assert (accepted.data, accepted.recipients) == (PLAIN, ("bob@example.net",))


async def test_a_message_that_cannot_be_read_ends_in_error(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with file_server() as files:
        files.files["/broken"] = File(b"Hello")
        files.files["/nobody"] = File(b"To: a@b\r\n\r\n")
        async with running(settings(config)) as post:
            await post.account(server)
            names = ("broken", "nobody", "missing")
            await post.add(*({"id": n, "raw_path": files.url(f"/{n}"), "to": TO} for n in names))
            errors = {name: await post.reports.error(name) for name in names}
    assert errors["broken"] == ("raw message: line 1 is no header field: it has no colon: 'Hello'")
    assert errors["nobody"] == "raw message: has no From"
    assert "404" in errors["missing"]
    assert server.accepted == []


@ONE_DATABASE
async def test_a_message_may_be_as_large_as_any_mail(
    config: Settings, server: ScriptedSmtpServer, tmp_path: Path
) -> None:
    (tmp_path / "a.eml").write_bytes(PLAIN + b"x\r\n" * 100_000)
    changes = {"attachment_roots": [tmp_path], "max_message_mb": 0.3}
    async with running(config(attachments=changes)) as post:
        await post.account(server)
        await post.add({"id": "m1", "raw_path": f"{tmp_path}/a.eml"})
        error = await post.reports.error("m1")
    assert error == "raw message: has 0.3 MB or more; allowed: 0.3 MB"


@ONE_DATABASE
async def test_a_message_without_recipients_ends_in_error(
    config: Settings, server: ScriptedSmtpServer, tmp_path: Path
) -> None:
    (tmp_path / "a.eml").write_bytes(without(PLAIN, b"to:"))
    async with running(config(attachments={"attachment_roots": [tmp_path]})) as post:
        await post.account(server)
        await post.add({"id": "m1", "raw_path": f"{tmp_path}/a.eml"})
        error = await post.reports.error("m1")
    assert error == "raw message: to, cc, bcc: 0 recipients; allowed: 1-1000"
    assert server.accepted == []


@ONE_DATABASE
async def test_wrong_fields_are_named(config: Settings) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"raw_path": "https://example.org/a"}, "to, cc, bcc: 0 recipients; allowed: 1-1000"),
        ({"raw_path": "/a.eml", "cc": []}, "to, cc, bcc: 0 recipients; allowed: 1-1000"),
        ({"raw_path": "", "to": TO}, "raw_path: must not be empty"),
        ({"raw_path": "http://", "to": TO}, "raw_path: "),
        ({"raw_path": "x", "raw": "YQ==", "to": TO}, "raw_path: unknown field"),
        ({"raw_path": "x", "subject": "s", "to": TO}, "subject: not together with raw_path, which"),
        ({"raw_path": "base64:Y", "to": TO}, "raw: is not base64: its last group has a single"),
        ({"raw_path": 7, "to": TO}, "raw_path: must be a text"),
    ]
    good = {"id": "good", "raw_path": "x", "to": TO}
    async with running(config(scheduler_active=False)) as post:
        await post.account(1)
        await post.add(good)
        for record, reason in cases:
            (rejected,) = (await post.add({"id": "m1", **record}, good)).rejected
            assert rejected.reason.startswith(reason)
