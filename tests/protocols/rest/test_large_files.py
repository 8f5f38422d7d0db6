"""Rules for large files over REST, and downloads with the tokens of links."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client

from mail_proxy.attachments.content import Content
from mail_proxy.config import ConcurrencyConfig
from mail_proxy.domain.large_files import LargeFileConfig
from mail_proxy.features.large_files.storage import LargeFileStorage
from mail_proxy.features.registry import DIRECTORY
from mail_proxy.kit.clock import SystemClock
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables
from mail_proxy.storage import StorageManager

RULES = {"enabled": True, "action": "rewrite", "storage_url": "file:///srv/large"}
DATA = bytes(range(256)) * 10_000


async def test_rules_are_saved_whole_and_reach_every_process(idle: Client, db: SqlDb) -> None:
    body = {"id": "acme", "large_file_config": {**RULES, "language": "it", "max_size_mb": 2}}
    tenant = (await idle.ok("POST", "/tenant", body))["tenant"]
    assert tenant["large_file_config"] == {
        **RULES,
        "language": "it",
        "max_size_mb": 2.0,
        "file_ttl_days": 30.0,
    }
    directory = Directory(db, Tables.of(db, bytes(32)), ConcurrencyConfig(), parts=DIRECTORY)
    rules = (await directory.current()).tenants["acme"].large_files
    assert rules is not None
    assert (rules.action, rules.most_bytes) == ("rewrite", 2_000_000)
    await idle.ok("PUT", "/tenant/acme", {"large_file_config": {"enabled": True}})
    rules = (await directory.current()).tenants["acme"].large_files
    assert rules is not None
    assert (rules.action, rules.storage_url) == ("warn", None)
    await idle.ok("PUT", "/tenant/acme", {"large_file_config": None})
    assert (await directory.current()).tenants["acme"].large_files is None
    tenant = (await idle.ok("GET", "/tenant/acme"))["tenant"]
    assert tenant["large_file_config"] is None


@ONE_DATABASE
@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"enabled": True, "action": "rewrite"}, "storage_url"),
        ({**RULES, "storage_url": "ftp://x/y"}, "storage_url"),
        ({**RULES, "storage_url": "http://x/y"}, "storage_url"),
        ({**RULES, "storage_url": "file://srv"}, "storage_url"),
        ({**RULES, "storage_url": "file:///srv/../etc"}, "storage_url"),
        ({**RULES, "storage_url": "s3:///x"}, "storage_url"),
        ({**RULES, "public_base_url": "javascript:alert(1)"}, "public_base_url"),
        ({**RULES, "action": "delete"}, "action"),
        ({**RULES, "max_size_mb": 0}, "max_size_mb"),
        ({**RULES, "file_ttl_days": 4000}, "file_ttl_days"),
        ({**RULES, "language": "de"}, "language"),
        ({**RULES, "template": {"intro": "a\r\nb"}}, "template.intro"),
        ({**RULES, "lifespan": 5}, "lifespan"),
    ],
)
async def test_wrong_rules_are_refused_by_field(
    idle: Client, rules: dict[str, Any], field: str
) -> None:
    response = await idle("PUT", "/tenant/default", {"large_file_config": rules})
    assert response.status_code == 422
    found = [each["field"] for each in response.json()["detail"]]
    assert found == [f"large_file_config.{field}"]


@ONE_DATABASE
@pytest.mark.parametrize("url", ["s3://a-b", "gs://a-b/c", "az://a-b/c/d", "docs:", "docs:a/b"])
async def test_places_of_large_files(idle: Client, url: str) -> None:
    await idle.ok("PUT", "/tenant/default", {"large_file_config": {**RULES, "storage_url": url}})


async def test_a_link_needs_no_token_of_the_service(
    idle: Client, db: SqlDb, tmp_path: Path
) -> None:
    tables, storages = Tables.of(db, bytes(32)), StorageManager()
    files = LargeFileStorage(db, tables, storages, SystemClock(), "http://test/files")
    config = LargeFileConfig.from_record({**RULES, "storage_url": f"file://{tmp_path}"})
    assert config is not None
    content = Content(len(DATA), "0" * 32, data=DATA)
    link = await files.keep("default", config, content, 'r\u00e8p"ort.html')
    storages.close()
    path = link.url.removeprefix("http://test")
    answer = await idle.http.get(path)
    assert (answer.status_code, answer.content) == (200, DATA)
    assert answer.headers["Content-Length"] == str(len(DATA))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    disposition = "attachment; filename=\"r_p_ort.html\"; filename*=UTF-8''r%C3%A8p%22ort.html"
    assert answer.headers["Content-Disposition"] == disposition
    part = await idle.http.get(path, headers={"Range": "bytes=1000000-1000999"})
    assert (part.status_code, part.content) == (206, DATA[1_000_000:1_001_000])
    assert part.headers["Content-Range"] == f"bytes 1000000-1000999/{len(DATA)}"
    beyond = await idle.http.get(path, headers={"Range": "bytes=9000000-"})
    assert (beyond.status_code, beyond.content) == (416, b"")
    renamed = await idle.http.get(path.rpartition("/")[0] + "/other.exe")
    assert renamed.headers["Content-Disposition"] == disposition
    changed = path.replace("/files/", "/files/A", 1)
    for wrong in (changed, "/files/x/y", "/files/" + "A" * 75 + "/y"):
        assert (await idle.http.get(wrong)).status_code == 404
