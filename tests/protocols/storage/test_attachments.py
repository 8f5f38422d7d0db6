"""Attachments in storages of every kind arrive as they are there"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tests.harness.running import mail, running, settings
from tests.protocols.delivery.test_attachments import files

from mail_proxy.domain.networks import LOOPBACK
from mail_proxy.storage import StorageManager
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

pytestmark = [
    pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning"),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]
#: More than one part of an upload, and more than is kept in memory.
LARGE = os.urandom(1_048_576) * 7


@pytest.mark.parametrize("place", ["local", "s3", "gcs", "azure"], indirect=True)
async def test_a_file_of_a_storage_arrives(
    place: tuple[str, dict[str, Any]], database_url: str, tmp_path: Path
) -> None:
    contents = {"Übersicht 1.pdf": LARGE, "small.txt": b"small", "empty": b""}
    manager = StorageManager()
    manager.register("docs", *place)
    for name, content in contents.items():
        await manager.node(f"docs:mails/{name}").write_bytes(content)
    manager.close()
    changes = {"allow_private_networks": LOOPBACK, "attachments": {"attachment_timeout": 100.0}}
    async with ScriptedSmtpServer() as server:
        async with running(settings(database_url, tmp_path, **changes)) as post:
            await post.account(server)
            await post.storage("docs", *place)
            attachments = [
                {"filename": name, "storage_path": f"docs:mails/{name}"} for name in contents
            ]
            await post.add(
                mail("m1", attachments=attachments),
                mail("m2", attachments=[{"filename": "a", "storage_path": "docs:mails/none"}]),
            )
            await post.reports.sent("m1")
            error = await post.reports.error("m2")
        (accepted,) = server.accepted
    assert files(accepted.data) == contents
    assert error == "attachment 'a': storage 'docs': no such file"
