"""Large attachments are sent, refused, or become links, as the tenant's rules say."""

from __future__ import annotations

import base64
import email
import email.policy
import re
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
from tests.harness.running import Post, mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.testing.smtp_server import ScriptedSmtpServer

ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
LARGE = bytes(range(256)) * 1000
SMALL = b"small"
RULES = {"enabled": True, "max_size_mb": 0.1}
LINK = re.compile(r"http://mail\.example/files/[A-Za-z0-9_-]{75}/large%20%C3%A8\.bin")


def inline(content: bytes, filename: str, **fields: Any) -> dict[str, Any]:
    path = "base64:" + base64.b64encode(content).decode()
    return {"filename": filename, "storage_path": path, **fields}


FILES = [inline(LARGE, "large \u00e8.bin"), inline(SMALL, "small.bin")]


class Sender:
    """Sends messages of the tenant ``acme`` with its rules for large files."""

    def __init__(self, post: Post, server: ScriptedSmtpServer) -> None:
        self.post = post
        self._server = server

    async def sent(self, rules: dict[str, Any], id_: str = "m1", **fields: Any) -> EmailMessage:
        await self.post.tenant("default", large_file_config={**RULES, **rules})
        await self.post.add(mail(id_, **{"attachments": FILES, **fields}))
        await self.post.reports.sent(id_)
        data = self._server.accepted[-1].data
        found = email.message_from_bytes(data, policy=email.policy.default)
        return cast(EmailMessage, found)

    @property
    def accepted(self) -> int:
        return len(self._server.accepted)


@pytest.fixture
async def sender(
    config: Settings, server: ScriptedSmtpServer, tmp_path: Path
) -> AsyncIterator[Sender]:
    changes = {"public_url": "http://mail.example/", "cache": {"cache_disk_dir": tmp_path / "c"}}
    async with running(config(**changes)) as post:
        await post.account(server)
        yield Sender(post, server)


def names(message: EmailMessage) -> list[str | None]:
    return [part.get_filename() for part in message.iter_attachments()]


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


async def test_warn_sends_the_file_and_logs_it(
    sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    message = await sender.sent({})
    assert names(message) == ["large \u00e8.bin", "small.bin"]
    (line,) = [r.getMessage() for r in caplog.records if "file.large" in r.getMessage()]
    assert "message_id=m1" in line
    assert "megabytes=0.256" in line


async def test_reject_gives_the_message_up_with_the_sizes(sender: Sender) -> None:
    await sender.post.tenant("default", large_file_config={**RULES, "action": "reject"})
    await sender.post.add(mail("m1", attachments=FILES))
    error = await sender.post.reports.error("m1")
    assert "'large \u00e8.bin' has 256 kB (256000 bytes)" in error
    assert "allowed: 100 kB (100000 bytes) (large_file_config)" in error
    assert "small.bin" not in error
    assert sender.accepted == 0


@pytest.mark.parametrize("workers", [0, 1])
async def test_rewrite_sends_a_link_instead(
    config: Settings, server: ScriptedSmtpServer, tmp_path: Path, workers: int
) -> None:
    changes = {"public_url": "http://mail.example/", "concurrency": {"workers": workers}}
    async with running(config(**changes)) as post:
        await post.account(server)
        rules = {"action": "rewrite", "storage_url": f"file://{tmp_path}/large"}
        message = await Sender(post, server).sent(rules, body="Hello\n")
    assert names(message) == ["small.bin"]
    text = text_of(message)
    assert text.startswith("Hello\n\nAttachments to download (available until 2")
    assert "- large \u00e8.bin (256 kB): http://mail.example/files/" in text
    assert LINK.search(text)
    (kept,) = [path for path in tmp_path.glob("large/**/*") if path.is_file()]
    assert kept.read_bytes() == LARGE


@ONE_DATABASE
async def test_a_link_is_in_every_text_of_a_mail(sender: Sender, tmp_path: Path) -> None:
    rules = {"action": "rewrite", "storage_url": f"file://{tmp_path}/large", "language": "it"}
    fields = {"body": "Ciao", "body_html": "<html><body><p>Ciao</p></body></html>"}
    message = await sender.sent(rules, **fields)
    assert text_of(message).startswith("Ciao\n\nAllegati da scaricare (disponibili fino al 2")
    html = text_of(message, "html")
    assert LINK.search(text_of(message))
    assert re.search(rf'<li><a href="{LINK.pattern}">large \u00e8.bin</a> \(256 kB\)</li>', html)
    assert html.rstrip().endswith("</ul>\n</div>\n</body></html>")
    only_html = await sender.sent(rules, "m2", body="<p>Ciao</p>", content_type="html")
    assert '<a href="http://mail.example/files/' in text_of(only_html, "html")
    assert only_html.get_body(("plain",)) is None
    assert len([path for path in tmp_path.glob("large/**/*") if path.is_file()]) == 1


@ONE_DATABASE
async def test_a_mail_whose_only_file_is_large_has_no_attachment(
    sender: Sender, tmp_path: Path
) -> None:
    rules = {"action": "rewrite", "storage_url": f"file://{tmp_path}/large"}
    message = await sender.sent(rules, attachments=FILES[:1])
    assert not message.is_multipart()
    assert LINK.search(message.get_content())


@ONE_DATABASE
async def test_a_storage_of_the_tenant_keeps_the_files(sender: Sender, tmp_path: Path) -> None:
    rules = {"action": "rewrite", "storage_url": "docs:large", "public_base_url": "https://x.test"}
    await sender.post.tenant("default", large_file_config={**RULES, **rules})
    await sender.post.add(mail("m1", attachments=FILES))
    shown = await sender.post.in_state("m1", "deferred")
    assert shown.error == "the large file 'large \u00e8.bin' cannot be uploaded: no such storage"
    await sender.post.storage("docs", "local", {"base_path": str(tmp_path / "docs")})
    message = await sender.sent(rules, "m2")
    assert "https://x.test/" in text_of(message)
    assert [path for path in tmp_path.glob("docs/large/**/*") if path.is_file()]


@ONE_DATABASE
async def test_images_in_an_html_text_stay(sender: Sender, tmp_path: Path) -> None:
    rules = {"action": "rewrite", "storage_url": f"file://{tmp_path}/large"}
    image = inline(LARGE, "a.png", content_id="logo", disposition="inline")
    html = '<p><img src="cid:logo"></p>'
    message = await sender.sent(rules, body="x", body_html=html, attachments=[image])
    assert "files/" not in text_of(message, "html")
    found = [part.get_content_type() for part in message.walk()]
    assert "image/png" in found


@ONE_DATABASE
async def test_a_long_body_gets_its_links_at_its_end(sender: Sender, tmp_path: Path) -> None:
    rules = {"action": "rewrite", "storage_url": f"file://{tmp_path}/large"}
    body = "line \u00e8\n" * 300_000
    message = await sender.sent(rules, body=body, attachments=FILES[:1])
    text = text_of(message)
    assert text.startswith("line \u00e8\nline")
    assert LINK.search(text[-400:])
