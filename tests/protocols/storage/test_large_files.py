"""Large files: uploaded once, linked, downloaded in parts, removed when their time is over."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.harness.rows import add_tenant

from mail_proxy.attachments.content import Content
from mail_proxy.domain.large_files import FileLink, LargeFileConfig
from mail_proxy.errors import NotFound, StorageError
from mail_proxy.features.large_files.downloads import Download, Downloads
from mail_proxy.features.large_files.storage import LargeFileStorage
from mail_proxy.features.large_files.table import LargeFilesTable
from mail_proxy.sql import SqlDb
from mail_proxy.sql.table import EVERY_TENANT, Row
from mail_proxy.sql.tables import Tables
from mail_proxy.storage import StorageManager
from mail_proxy.testing.clock import FakeClock

DAY = 86_400.0
DATA = bytes(range(256)) * 100
BASE = "https://mail.example/files"


def content_of(data: bytes = DATA) -> Content:
    return Content(len(data), hashlib.md5(data).hexdigest(), data=data)


def rules(url: str, **fields: Any) -> LargeFileConfig:
    record = {"enabled": True, "action": "rewrite", "storage_url": url, **fields}
    found = LargeFileConfig.from_record(record)
    assert found is not None
    return found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def storages() -> AsyncIterator[StorageManager]:
    manager = StorageManager()
    yield manager
    manager.close()


@pytest.fixture
async def files(
    db: SqlDb, tables: Tables, storages: StorageManager, clock: FakeClock
) -> LargeFileStorage:
    await db.write(tables.instance.ensure, "test", 1.0)
    await add_tenant(db, tables, "acme")
    return LargeFileStorage(db, tables, storages, clock, BASE)


@pytest.fixture
def config(tmp_path: Path) -> LargeFileConfig:
    return rules(f"file://{tmp_path}/large%20files")


def stored(folder: Path) -> list[Path]:
    return [path for path in folder.glob("large files/**/*") if path.is_file()]


async def rows(db: SqlDb, tables: Tables) -> list[Row]:
    table = tables.of_feature(LargeFilesTable)
    return await db.read(lambda c: table.select(c, tenant_id=EVERY_TENANT))


def token_of(link: FileLink) -> str:
    assert link.url.startswith(BASE)
    return link.url.split("/")[-2]


async def read(download: Download) -> bytes:
    assert download.content is not None
    return b"".join([piece async for piece in download.content])


async def test_a_file_is_kept_and_its_link_delivers_it(
    files: LargeFileStorage, config: LargeFileConfig, tmp_path: Path
) -> None:
    link = await files.keep("acme", config, content_of(), 'r\u00e8port "1"/../x.pdf')
    assert (link.name, link.size) == ('r\u00e8port "1"/../x.pdf', len(DATA))
    assert link.until == "2027-02-14"
    assert link.url.endswith("/r%C3%A8port%20%221%22%2F..%2Fx.pdf")
    (path,) = stored(tmp_path)
    assert path.name == "r\u00e8port _1__.._x.pdf"
    download = await Downloads(files).get(token_of(link), None, None)
    assert download.status == 200
    assert download.headers["Content-Length"] == str(len(DATA))
    assert await read(download) == DATA


async def test_the_same_content_is_stored_once_for_a_tenant_and_place(
    files: LargeFileStorage, config: LargeFileConfig, tmp_path: Path, clock: FakeClock
) -> None:
    links = await asyncio.gather(
        *(files.keep("acme", config, content_of(), f"{number}.pdf") for number in range(5))
    )
    assert len(stored(tmp_path)) == 1
    assert len({link.url for link in links}) == 5
    await files.keep("acme", config, content_of(b"other"), "1.pdf")
    await files.keep("other", config, content_of(), "1.pdf")
    assert len(stored(tmp_path)) == 3
    clock.advance(20 * DAY)
    later = await files.keep("acme", config, content_of(), "later.pdf")
    assert len(stored(tmp_path)) == 3
    clock.advance(15 * DAY)
    assert await files.remove_expired(10) == 2
    assert await files.find(token_of(links[0])) is None
    assert await files.find(token_of(later)) is not None


async def test_files_are_removed_when_their_time_is_over(
    files: LargeFileStorage,
    config: LargeFileConfig,
    tmp_path: Path,
    clock: FakeClock,
    db: SqlDb,
    tables: Tables,
) -> None:
    for number in range(3):
        await files.keep("acme", config, content_of(b"%d" % number), "x.pdf")
    clock.advance(30 * DAY - 1)
    assert await files.remove_expired(10) == 0
    clock.advance(2)
    assert await files.remove_expired(2) == 2
    assert await files.remove_expired(2) == 1
    assert stored(tmp_path) == []
    assert await rows(db, tables) == []


async def test_a_download_may_bring_the_removal_forward(
    files: LargeFileStorage, tmp_path: Path, clock: FakeClock
) -> None:
    config = rules(f"file://{tmp_path}", lifespan_after_download_days=2)
    link = await files.keep("acme", config, content_of(), "x.pdf")
    for _ in range(2):
        clock.advance(1.5 * DAY)
        assert await files.remove_expired(10) == 0
        await read(await Downloads(files).get(token_of(link), None, None))
    clock.advance(2 * DAY + 1)
    assert await files.remove_expired(10) == 1
    with pytest.raises(NotFound):
        await Downloads(files).get(token_of(link), None, None)


async def test_an_upload_that_dies_leaves_nothing_behind(
    files: LargeFileStorage,
    config: LargeFileConfig,
    clock: FakeClock,
    db: SqlDb,
    tables: Tables,
    tmp_path: Path,
) -> None:
    class Broken:
        size = len(DATA)
        reads = 0

        def pieces(self, octets: int) -> Iterator[bytes]:
            self.reads += 1
            yield DATA
            if self.reads > 1:
                raise OSError(5, "Input/output error")

    with pytest.raises(StorageError):
        await files.keep("acme", config, Broken(), "x.pdf")
    (row,) = await rows(db, tables)
    signer = await files.signer()
    assert await files.find(signer.token(bytes.fromhex(row["id"].replace("-", "")), 9e9)) is None
    link = await files.keep("acme", config, content_of(), "x.pdf")
    clock.advance(DAY + 1)
    assert await files.remove_expired(10) == 1
    assert len(await rows(db, tables)) == len(stored(tmp_path)) == 1
    assert await files.find(token_of(link)) is not None


async def test_files_of_a_storage_that_is_gone_are_forgotten(
    files: LargeFileStorage,
    storages: StorageManager,
    clock: FakeClock,
    db: SqlDb,
    tables: Tables,
    tmp_path: Path,
) -> None:
    storages.register("docs", "local", {"base_path": str(tmp_path / "d")}, tenant_id="acme")
    await files.keep("acme", rules("docs:large"), content_of(), "x.pdf")
    (row,) = await rows(db, tables)
    assert (tmp_path / "d" / "large" / row["path"]).exists()
    clock.advance(31 * DAY)
    storages.configure([])
    assert await files.remove_expired(10) == 1
    assert await rows(db, tables) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_file_that_somebody_removed_is_uploaded_again(
    files: LargeFileStorage, config: LargeFileConfig, tmp_path: Path
) -> None:
    link = await files.keep("acme", config, content_of(), "x.pdf")
    (path,) = stored(tmp_path)
    path.write_bytes(DATA[:-1])
    with pytest.raises(NotFound):
        await Downloads(files).get(token_of(link), None, None)
    again = await files.keep("acme", config, content_of(), "x.pdf")
    assert await read(await Downloads(files).get(token_of(again), None, None)) == DATA


@pytest.mark.parametrize("name", ["報告書" * 80 + ".pdf", "😀" * 200, "." * 250, "a" * 255])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_file_may_have_a_long_name(
    files: LargeFileStorage, config: LargeFileConfig, name: str
) -> None:
    link = await files.keep("acme", config, content_of(), name)
    assert await read(await Downloads(files).get(token_of(link), None, None)) == DATA


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_file_that_cannot_be_removed_is_not_forgotten(
    files: LargeFileStorage,
    config: LargeFileConfig,
    clock: FakeClock,
    db: SqlDb,
    tables: Tables,
    tmp_path: Path,
) -> None:
    await files.keep("acme", config, content_of(), "x.pdf")
    (path,) = stored(tmp_path)
    away = tmp_path / "away"
    path.parent.rename(away)
    path.parent.symlink_to(away)
    clock.advance(31 * DAY)
    assert await files.remove_expired(10) == 0
    path.parent.unlink()
    away.rename(path.parent)
    clock.advance(3601)
    assert await files.remove_expired(10) == 1
    assert stored(tmp_path) == []
    assert await rows(db, tables) == []


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-", 206, (0, 25_600)),
        ("bytes=0-0", 206, (0, 1)),
        ("bytes=100-199", 206, (100, 200)),
        ("bytes=25599-99999", 206, (25_599, 25_600)),
        ("bytes=-100", 206, (25_500, 25_600)),
        ("bytes=-99999", 206, (0, 25_600)),
        ("bytes=25600-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=9-5", 200, (0, 25_600)),
        ("bytes=0-1,5-6", 200, (0, 25_600)),
        ("bytes=-", 200, (0, 25_600)),
        ("bytes=a-b", 200, (0, 25_600)),
        ("items=0-1", 200, (0, 25_600)),
        ("bytes=0-" + "9" * 500, 200, (0, 25_600)),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_ranges(
    files: LargeFileStorage,
    config: LargeFileConfig,
    asked: str,
    status: int,
    expected: tuple[int, int] | None,
) -> None:
    link = await files.keep("acme", config, content_of(), "x.pdf")
    download = await Downloads(files).get(token_of(link), asked, None)
    assert download.status == status
    if expected is None:
        assert download.headers["Content-Range"] == "bytes */25600"
        return
    start, end = expected
    assert await read(download) == DATA[start:end]
    assert download.headers["Content-Length"] == str(end - start)
    if status == 206:
        assert download.headers["Content-Range"] == f"bytes {start}-{end - 1}/25600"
    changed = await Downloads(files).get(token_of(link), "bytes=0-1", '"other"')
    assert changed.status == 200
    assert changed.content is not None
    await changed.content.aclose()


@pytest.mark.parametrize(
    "name",
    ['a"; filename="evil.exe', "a\\b.html", "r\u00e8.svg", "%41.htm", "a\u202egpj.exe", "\u2028"],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_file_name_cannot_change_how_a_browser_treats_the_file(
    files: LargeFileStorage, config: LargeFileConfig, name: str
) -> None:
    link = await files.keep("acme", config, content_of(), name)
    download = await Downloads(files).get(token_of(link), None, None)
    assert download.content is not None
    await download.content.aclose()
    disposition = download.headers["Content-Disposition"]
    pattern = r"attachment; filename=\"[^\"\\%]*\"; filename\*=UTF-8''[A-Za-z0-9%_.~-]*"
    assert re.fullmatch(pattern, disposition)
    assert disposition.isascii()
    assert download.headers["Content-Type"] == "application/octet-stream"
    assert download.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in download.headers["Content-Security-Policy"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("cloud", ["s3", "azure"])
async def test_links_of_a_cloud_are_the_providers_own(
    files: LargeFileStorage,
    storages: StorageManager,
    request: pytest.FixtureRequest,
    cloud: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = request.getfixturevalue(cloud)
    if cloud == "s3":
        for name, value in {
            "AWS_ACCESS_KEY_ID": place["key"],
            "AWS_SECRET_ACCESS_KEY": place["secret"],
            "AWS_DEFAULT_REGION": place["region"],
            "AWS_ENDPOINT_URL": place["endpoint_url"],
        }.items():
            monkeypatch.setenv(name, value)
        url = "s3://files/large"
    else:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", place["connection_string"])
        url = "az://files/large"
    link = await files.keep("acme", rules(url), content_of(), "r\u00e8port.pdf")
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(link.url)
    # The clock of the test is ahead of the server's, which azurite notices.
    assert answer.status_code in ((200,) if cloud == "s3" else (200, 403))
    if answer.status_code == 200:
        assert answer.content == DATA
        assert "UTF-8''r%C3%A8port.pdf" in answer.headers["Content-Disposition"]
    storages.register("docs", cloud if cloud == "s3" else "azure", place, tenant_id="acme")
    in_storage = await files.keep("acme", rules("docs:large"), content_of(), "x.pdf")
    assert in_storage.url.startswith("http://127.0.0.1:")
