"""``mail-proxy send`` queues a file as it is, and follows it to its outcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.harness.command_line import CommandLine

from mail_proxy.testing.smtp_server import ScriptedSmtpServer

_MAIL = """\
From: Ann <ann@example.org>
To: bob@example.net, eve@example.net
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=
MIME-Version: 1.0
Content-Type: multipart/related; boundary=edge

--edge
Content-Type: text/html; charset=utf-8

<img src="cid:logo">
--edge
Content-Type: image/png
Content-ID: <logo>
Content-Transfer-Encoding: base64

aGVsbG8=
--edge--
"""


@pytest.fixture
async def smtp() -> AsyncIterator[ScriptedSmtpServer]:
    async with ScriptedSmtpServer() as server:
        yield server


async def test_a_file_is_sent_as_it_is_and_followed(
    mail_proxy: CommandLine, smtp: ScriptedSmtpServer, tmp_path: Path
) -> None:
    file = tmp_path / "mail.eml"
    file.write_text(_MAIL)
    await asyncio.to_thread(_send, mail_proxy, smtp, file)
    mail, written = smtp.accepted
    assert written.recipients == mail.recipients
    assert written.data.endswith(b"\r\n\r\nGood morning\r\n")
    assert mail.recipients == ("bob@example.net", "eve@example.net")
    body = _MAIL.partition("\n\n")[2].replace("\n", "\r\n").encode()
    assert bytes(mail.data).partition(b"\r\n\r\n")[2] == body


def _send(mail_proxy: CommandLine, smtp: ScriptedSmtpServer, file: Path) -> None:
    mail_proxy.started("shop")
    options = ["--id", "smtp", "--host", smtp.host, "--port", str(smtp.port), "--tls", "none"]
    assert mail_proxy("accounts", "add", *options).returncode == 0
    sent = mail_proxy("send", str(file), "--wait", "--id", "m1", "--priority", "high")
    assert sent.returncode == 0, sent.stderr
    assert "m1: sent: the mail server took it at" in sent.stderr
    again = mail_proxy("send", str(file), "--id", "m1", "--json")
    assert json.loads(again.stdout) == {"id": "m1", "status": "sent"}
    assert "was there already: sent" in again.stderr
    smtp.on_recipient("never@example.net", "550 5.1.1 no such user")
    refused = mail_proxy("send", "-", "--to", "never@example.net", "--wait", answer=_MAIL)
    assert refused.returncode == 1
    assert "error: given up at" in refused.stderr
    answers = "Ann <ann@example.org>\nbob@example.net, eve@example.net\nHello\nGood morning\n"
    asked = mail_proxy("send", answer=answers)
    assert asked.returncode == 0, asked.stderr
    assert "sent: the mail server took it at" in asked.stderr
    wrong = mail_proxy("send", "-", answer="no mail")
    assert wrong.returncode == 2
    assert "Error: -: raw" in wrong.stderr
    assert mail_proxy("send", "nothing.eml").returncode == 1
