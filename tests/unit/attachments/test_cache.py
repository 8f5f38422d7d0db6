"""The cache of attachments, in memory and on disk."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.harness.scrape import Scrape

from mail_proxy.attachments.cache import TieredCache
from mail_proxy.attachments.content import Content
from mail_proxy.attachments.memory_cache import Key, MemoryCache
from mail_proxy.attachments.spool import Spool
from mail_proxy.config import CacheConfig
from mail_proxy.telemetry.metrics import MailMetrics
from mail_proxy.testing.clock import FakeClock

SMALL, MEDIUM, LARGE = 1000, 500_000, 3_000_000
NewCache = Callable[..., TieredCache]


def content_of(size: int, filling: bytes = b"a") -> Content:
    data = filling * size
    return Content(size, hashlib.md5(data).hexdigest(), data=data)


def of_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)


def read(content: Content | None) -> bytes:
    assert content is not None
    return b"".join(content.pieces(65_536))


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("cache/contents/*"))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def metrics() -> MailMetrics:
    return MailMetrics()


@pytest.fixture
def new_cache(tmp_path: Path, clock: FakeClock, metrics: MailMetrics) -> Iterator[NewCache]:
    """Return a function that opens the cache of ``tmp_path`` as a process that starts does."""
    spools = []

    def new(**settings: float) -> TieredCache:
        spools.append(Spool(tmp_path / "cache" / "spool"))
        config = CacheConfig(cache_disk_dir=tmp_path / "cache", **settings)  # type: ignore[arg-type]
        return TieredCache.of(config, spools[-1], clock, metrics)

    yield new
    for spool in spools:
        spool.close()


def test_the_memory_forgets_what_was_used_longest_ago(clock: FakeClock) -> None:
    memory = MemoryCache(100, 300.0, clock)
    for name in "abc":
        memory.put(Key("t", name), name.encode() * 40)
        memory.get(Key("t", "a"))
    assert memory.get(Key("t", "a")) is not None
    assert memory.get(Key("t", "b")) is None
    assert memory.get(Key("t", "c")) is not None


def test_the_memory_forgets_what_is_too_old_or_too_large(clock: FakeClock) -> None:
    memory = MemoryCache(100, 300.0, clock)
    memory.put(Key("t", "a"), b"a" * 100)
    memory.put(Key("t", "b"), b"b" * 101)
    assert memory.get(Key("t", "b")) is None
    clock.advance(300.0)
    assert memory.get(Key("t", "a")) is not None
    clock.advance(0.1)
    assert memory.get(Key("t", "a")) is None
    memory.put(Key("t", "c"), b"c" * 100)
    assert memory.get(Key("t", "c")) is not None


@pytest.mark.parametrize("size", [SMALL, MEDIUM, LARGE])
async def test_a_content_comes_back(new_cache: NewCache, size: int) -> None:
    cache = new_cache()
    content = content_of(size)
    assert await cache.get("acme", content.md5) is None
    await cache.put("acme", content)
    found = await cache.get("acme", content.md5)
    assert read(found) == content.data
    assert (found.size, found.md5) == (size, content.md5)  # type: ignore[union-attr]


@pytest.mark.parametrize(("size", "is_kept"), [(SMALL, False), (MEDIUM, True), (LARGE, True)])
async def test_contents_of_more_than_100_kb_survive_a_restart(
    new_cache: NewCache, size: int, is_kept: bool
) -> None:
    content = content_of(size)
    await new_cache().put("acme", content)
    found = await new_cache().get("acme", content.md5)
    assert (found is not None) is is_kept
    if is_kept:
        assert read(found) == content.data


async def test_a_tenant_does_not_get_the_contents_of_another(new_cache: NewCache) -> None:
    cache = new_cache()
    for size in (SMALL, MEDIUM, LARGE):
        content = content_of(size)
        await cache.put("acme", content)
        assert await cache.get("other", content.md5) is None


@pytest.mark.parametrize("size", [MEDIUM, LARGE])
@pytest.mark.parametrize("damage", ["shorter", "longer", "other", "empty"])
async def test_a_damaged_file_is_dropped(
    new_cache: NewCache, tmp_path: Path, metrics: MailMetrics, size: int, damage: str
) -> None:
    content = content_of(size)
    await new_cache().put("acme", content)
    [file] = files(tmp_path)
    good = file.read_bytes()
    bad = {"shorter": good[:-1], "longer": good + b"x", "other": b"b" * size, "empty": b""}
    seen = file.stat()
    file.write_bytes(bad[damage])
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    assert await new_cache().get("acme", content.md5) is None
    assert files(tmp_path) == []
    shown = Scrape(metrics.text().decode())
    assert shown("gmp_attachment_cache_total", tier="disk", outcome="damaged") == 1


async def test_a_file_that_is_damaged_after_its_first_use_is_dropped(
    new_cache: NewCache, tmp_path: Path
) -> None:
    cache, content = new_cache(cache_memory_max_mb=0), content_of(MEDIUM)
    await cache.put("acme", content)
    assert await cache.get("acme", content.md5) is not None
    files(tmp_path)[0].write_bytes(b"b" * MEDIUM)
    assert await cache.get("acme", content.md5) is None


async def test_links_are_not_followed(new_cache: NewCache, tmp_path: Path) -> None:
    cache, content = new_cache(cache_memory_max_mb=0), content_of(MEDIUM)
    await cache.put("acme", content)
    [file] = files(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    assert await cache.get("acme", content.md5) is None
    assert not file.is_symlink()
    assert elsewhere.exists()


@pytest.mark.parametrize(
    "md5", ["", "../../etc/passwd", "A" * 32, "a" * 31, "a" * 33, "a" * 32 + "\n"]
)
async def test_only_an_md5_names_a_file(new_cache: NewCache, md5: str) -> None:
    with pytest.raises(ValueError, match="MD5"):
        await new_cache().get("acme", md5)


async def test_folders_and_files_are_private(new_cache: NewCache, tmp_path: Path) -> None:
    cache, content = new_cache(), content_of(LARGE)
    await cache.put("acme", content)
    found = await cache.get("acme", content.md5)
    assert found is not None
    assert found.path is not None
    paths = [tmp_path / "cache", *tmp_path.glob("cache/**/*")]
    modes = {path.stat().st_mode & 0o777 for path in paths if path.is_dir()}
    assert modes == {0o700}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o600}


async def test_a_file_in_use_stays_when_the_cache_drops_it(
    new_cache: NewCache, tmp_path: Path, clock: FakeClock
) -> None:
    cache, content = new_cache(), content_of(LARGE)
    await cache.put("acme", content)
    found = await cache.get("acme", content.md5)
    clock.advance(3601.0)
    assert await cache.get("acme", content.md5) is None
    assert files(tmp_path) == []
    assert read(found) == content.data


async def test_a_file_of_the_spool_is_kept_without_a_copy(
    tmp_path: Path, clock: FakeClock, metrics: MailMetrics
) -> None:
    spool = Spool(tmp_path / "cache" / "spool")
    config = CacheConfig(cache_disk_dir=tmp_path / "cache")
    cache = TieredCache.of(config, spool, clock, metrics)
    content = content_of(LARGE)
    fetched, elsewhere = spool.new_path(), tmp_path / "elsewhere"
    for path in (fetched, elsewhere):
        path.write_bytes(read(content))
    await cache.put("acme", Content(LARGE, content.md5, path=fetched))
    await cache.put("other", Content(LARGE, content.md5, path=elsewhere))
    assert sorted(file.stat().st_nlink for file in files(tmp_path)) == [1, 2]
    assert elsewhere.stat().st_nlink == 1
    await cache.put("acme", Content(LARGE, content.md5, path=fetched))
    assert len(files(tmp_path)) == 2
    fetched.unlink()
    assert read(await cache.get("acme", content.md5)) == content.data
    spool.close()


async def test_the_disk_drops_what_was_used_longest_ago(
    new_cache: NewCache, tmp_path: Path, clock: FakeClock
) -> None:
    cache = new_cache(cache_disk_max_mb=2, cache_memory_max_mb=0)
    contents = [content_of(MEDIUM, name) for name in (b"a", b"b", b"c", b"d")]
    for content in contents:
        clock.advance(1.0)
        await cache.put("acme", content)
    clock.advance(1.0)
    assert await cache.get("acme", contents[0].md5) is not None
    clock.advance(1.0)
    last = content_of(MEDIUM, b"e")
    await cache.put("acme", last)
    assert await cache.get("acme", contents[1].md5) is None
    assert await cache.get("acme", contents[0].md5) is not None
    assert await cache.get("acme", last.md5) is not None
    assert sum(file.stat().st_size for file in files(tmp_path)) <= 2_000_000


async def test_a_disk_that_fails_counts_as_an_empty_cache(
    new_cache: NewCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file in place of the folder")
    cache, content = new_cache(), content_of(MEDIUM)
    assert await cache.get("acme", content.md5) is None
    await cache.put("acme", content)
    assert "cache.failed" in caplog.text
    assert read(await cache.get("acme", content.md5)) == content.data


async def test_look_ups_and_bytes_are_counted(new_cache: NewCache, metrics: MailMetrics) -> None:
    cache, content = new_cache(), content_of(LARGE)
    await cache.put("acme", content)
    await cache.get("acme", content.md5)
    await cache.put("acme", content_of(SMALL))
    await cache.get("acme", content_of(SMALL).md5)
    shown = Scrape(metrics.text().decode())
    assert shown("gmp_attachment_cache_total", tier="memory", outcome="hit") == 1
    assert shown("gmp_attachment_cache_total", tier="memory", outcome="miss") == 1
    assert shown("gmp_attachment_cache_total", tier="disk", outcome="hit") == 1
    assert shown("gmp_attachment_cache_bytes_total", tier="memory") == SMALL
    assert shown("gmp_attachment_cache_bytes_total", tier="disk") == LARGE


USER = """
import asyncio, hashlib, sys
from pathlib import Path
from mail_proxy.attachments.cache import TieredCache
from mail_proxy.attachments.content import Content
from mail_proxy.attachments.spool import Spool
from mail_proxy.config import CacheConfig
from mail_proxy.kit.clock import SystemClock
from mail_proxy.telemetry.metrics import MailMetrics

async def use(folder):
    spool = Spool(folder / "spool")
    config = CacheConfig(cache_disk_dir=folder, cache_disk_max_mb=5, cache_memory_max_mb=0)
    cache = TieredCache.of(config, spool, SystemClock(), MailMetrics())
    hits = 0
    for round in range(8):
        for filling in (b"a", b"b", b"c", b"d"):
            data = filling * 2_500_000
            md5 = hashlib.md5(data).hexdigest()
            found = await cache.get("acme", md5)
            if found is None:
                await cache.put("acme", Content(len(data), md5, data=data))
            else:
                assert b"".join(found.pieces(65536)) == data
                found.path.unlink()
                hits += 1
    spool.close()

asyncio.run(use(Path(sys.argv[1])))
"""


def test_processes_share_a_folder(tmp_path: Path) -> None:
    """They drop each other's files all the time, because only one or two have room."""
    command = [sys.executable, "-c", USER, str(tmp_path / "cache")]
    users = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    for user in users:
        _, complaints = user.communicate(timeout=120)
        assert user.returncode == 0, complaints.decode()
    assert [path.name for path in (tmp_path / "cache" / "spool").iterdir()] == ["lock"]
    assert not list(tmp_path.glob("cache/contents/.*"))


KILLED = """
import os, signal, sys
from pathlib import Path
from mail_proxy.attachments.spool import Spool

Spool(Path(sys.argv[1])).new_path().write_text("in use")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_files_of_a_killed_process_are_removed_and_those_of_others_stay(tmp_path: Path) -> None:
    living = Spool(tmp_path / "spool")
    in_use = living.new_path()
    in_use.write_text("in use")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "spool")]
    assert subprocess.run(command, check=False, timeout=60).returncode < 0
    assert len(list(tmp_path.glob("spool/*/*"))) == 4
    started = Spool(tmp_path / "spool")
    started.new_path()
    assert sorted(path.name for path in tmp_path.glob("spool/*/*")) == sorted(
        [in_use.name, "lock", "lock"]
    )
    for spool in (living, started):
        spool.close()
    assert list(tmp_path.glob("spool/*/*")) == []
