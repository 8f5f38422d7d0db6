"""Files in every kind of storage, on real servers."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.harness.patience import PATIENCE_SECONDS
from tests.protocols.storage.conftest import service_account

from mail_proxy.domain.networks import parsed
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.storage import StorageError, StorageManager, StorageNode
from mail_proxy.storage.backend import Backend
from mail_proxy.storage.manager import Links
from mail_proxy.storage.mount import Mount
from mail_proxy.storage.url_token import UrlSigner

Place = tuple[str, dict[str, Any]]
ALL = ["local", "memory", "s3", "gcs", "azure"]
CLOUDS = ["s3", "azure"]
everywhere = pytest.mark.parametrize("place", ALL, indirect=True)
#: Of gcsfs.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
LARGE = b"0123456789abcdef" * 1_000_000


@pytest.fixture
async def manager() -> AsyncIterator[StorageManager]:
    links = Links(UrlSigner(b"secret"), "https://mail.example/files")
    manager = StorageManager(links=links)
    yield manager
    manager.close()


@pytest.fixture
def root(manager: StorageManager, place: Place, request: pytest.FixtureRequest) -> StorageNode:
    """A folder of the storage for this test alone."""
    manager.register("docs", *place)
    folder = re.sub(r"\W", "-", request.node.name)
    return manager.node(f"docs:{folder}")


@everywhere
async def test_what_is_written_is_read(root: StorageNode) -> None:
    node = root.child("a", "rep\u00f2rt 1.txt")
    assert not await node.exists()
    await node.write_text("perch\u00e9")
    assert await node.read_text() == "perch\u00e9"
    assert await node.read_bytes() == "perch\u00e9".encode()
    assert (await node.exists(), await node.is_file(), await node.is_dir()) == (True, True, False)
    assert await node.size() == 7
    assert abs(await node.mtime() - time.time()) < 3600
    assert await node.md5hash() == hashlib.md5("perch\u00e9".encode()).hexdigest()
    await node.write_bytes(b"")
    assert await node.read_bytes() == b""
    await node.delete()
    await node.delete()
    assert not await node.exists()
    with pytest.raises(StorageError, match="no such file") as caught:
        await node.read_bytes()
    assert not caught.value.is_temporary


@everywhere
async def test_folders(root: StorageNode) -> None:
    for name in ("b.txt", "a.txt", "c/d.txt"):
        await root.child(name).write_bytes(b"x")
    assert [node.basename for node in await root.children()] == ["a.txt", "b.txt", "c"]
    assert await root.is_dir()
    assert await root.child("c").is_dir()
    await root.child("new").mkdir()
    await root.child("new").mkdir()


@everywhere
async def test_large_files_are_streams(root: StorageNode, place: Place) -> None:
    node = root.child("large.bin")
    content = LARGE
    pieces = [content[start : start + 700_000] for start in range(0, len(content), 700_000)]
    assert await node.write_pieces(iter(pieces)) == len(content)
    read = [piece async for piece in node.pieces(300_000)]
    assert max(map(len, read)) <= 300_000
    assert b"".join(read) == content
    part = [piece async for piece in node.pieces(100_000, 3_000_001, 3_250_000)]
    assert b"".join(part) == content[3_000_001:3_250_000]
    with pytest.raises(StorageError, match="more than 1000 bytes"):
        await node.read_bytes(1000)


def broken() -> Iterator[bytes]:
    yield LARGE
    raise OSError(5, "Input/output error")


@everywhere
async def test_an_unfinished_file_does_not_appear(root: StorageNode) -> None:
    node = root.child("unfinished.bin")
    with pytest.raises(StorageError):
        await node.write_pieces(broken())
    assert not await node.exists()


@pytest.mark.parametrize("place", CLOUDS, indirect=True)
async def test_a_link_of_the_provider_delivers_the_file(root: StorageNode) -> None:
    node = root.child("x1")
    await node.write_bytes(b"content")
    now = time.time()
    link = await node.url(now + 600, now=now, filename='rep\u00f2rt "1".pdf')
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(link)
        assert (answer.status_code, answer.content) == (200, b"content")
        disposition = answer.headers["Content-Disposition"]
    assert disposition == "attachment; filename*=UTF-8''rep%C3%B2rt%20%221%22.pdf"


@pytest.mark.parametrize("place", ["gcs"], indirect=True)
async def test_a_link_of_google_is_signed(manager: StorageManager, place: Place) -> None:
    """The emulator knows no signed URLs."""
    protocol, config = place
    manager.register("signing", protocol, {**config, "credentials": service_account()})
    now = time.time()
    link = await manager.node("signing:x1").url(now + 600, now=now, filename="a.pdf")
    assert "Expires=" in link
    assert "Signature=" in link


@pytest.mark.parametrize("place", ["azure"], indirect=True)
async def test_azure_refuses_a_link_that_has_expired_or_was_changed(root: StorageNode) -> None:
    node = root.child("x1")
    await node.write_bytes(b"content")
    now = time.time()
    good = await node.url(now + 600, now=now)
    changed = re.sub("sig=..", "sig=AA", good)
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(changed)).status_code == 403
        over = await node.url(now + 1, now=now)
        while time.time() < now + 3:
            status = (await http.get(over)).status_code
            if status == 403:
                break
        assert (await http.get(over)).status_code == 403
        assert (await http.get(good)).status_code == 200


@pytest.mark.parametrize("place", ["s3"], indirect=True)
async def test_links_of_s3_end_after_seven_days_at_most(root: StorageNode) -> None:
    link = await root.child("x1").url(30 * 86_400, now=0.0)
    assert httpx.URL(link).params["X-Amz-Expires"] == "604800"


@pytest.mark.parametrize("place", ["local", "memory"], indirect=True)
async def test_a_link_without_a_provider_has_a_signed_token(root: StorageNode) -> None:
    node = root.child("rep\u00f2rt.pdf")
    link = await node.url(1000.0, now=0.0)
    start, token, name = link.rsplit("/", 2)
    assert (start, name) == ("https://mail.example/files", "rep%C3%B2rt.pdf")
    assert node.verify_url_token(token, now=999.0)
    assert not node.verify_url_token(token, now=1000.0)
    assert not root.child("other.pdf").verify_url_token(token, now=0.0)
    for number, character in enumerate(token):
        changed = token[:number] + ("B" if character == "A" else "A") + token[number + 1 :]
        assert changed[:-1] == token[:-1] or not node.verify_url_token(changed, now=0.0)
    for wrong in ("", "x", token[:-4], token + "AAAA", "\u00e8" * 75, "=" * 75):
        assert not node.verify_url_token(wrong, now=0.0)


@everywhere
async def test_dots_lead_nowhere(root: StorageNode) -> None:
    for path in ("../x", "a/../../x", "a/..", "a\0b", "a\nb", "x" * 1025):
        with pytest.raises(StorageError):
            root.child(path)


async def test_names_of_nodes(manager: StorageManager) -> None:
    manager.configure([{"name": "docs", "protocol": "memory", "config": {}}])
    node = manager.node("docs:/a//./report.tar.gz")
    assert (node.mount_name, node.path) == ("docs", "a/report.tar.gz")
    assert node.fullpath == "docs:a/report.tar.gz"
    assert (node.basename, node.stem, node.suffix) == ("report.tar.gz", "report.tar", ".gz")
    assert node.parent == manager.node("docs:a")
    assert node.parent.parent.parent == manager.node("docs:")
    assert manager.node("docs:a/x.pdf").mimetype == "application/pdf"
    assert node.mimetype == "application/x-tar"
    for unknown in ("other:a", "docs", "", ":a", "/etc/passwd"):
        with pytest.raises(StorageError, match="no such storage"):
            manager.node(unknown)
    with pytest.raises(StorageError, match="no such storage"):
        manager.node("docs:a", tenant_id="acme")


async def test_tenants_share_no_memory(manager: StorageManager) -> None:
    for tenant in ("acme", "other"):
        manager.register("docs", "memory", {}, tenant_id=tenant)
        await manager.node("docs:a", tenant_id=tenant).write_text(tenant)
    assert await manager.node("docs:a", tenant_id="acme").read_text() == "acme"


async def test_links_do_not_lead_out_of_a_folder(manager: StorageManager, tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for folder in (outside, inside / "own"):
        folder.mkdir(parents=True)
    (outside / "secret").write_text("secret")
    (inside / "own" / "file").write_text("own")
    (inside / "to-file").symlink_to(outside / "secret")
    (inside / "to-folder").symlink_to(outside)
    (inside / "relative").symlink_to("../outside/secret")
    (inside / "within").symlink_to("own")
    manager.register("docs", "local", {"base_path": str(inside)})
    for path in ("to-file", "to-folder/secret", "relative"):
        with pytest.raises(StorageError, match="leads out"):
            await manager.node(f"docs:{path}").read_bytes()
    for path in ("to-folder/new", "to-folder/a/b"):
        with pytest.raises(StorageError, match="leads out"):
            await manager.node(f"docs:{path}").write_bytes(b"x")
    with pytest.raises(StorageError, match="leads out"):
        await manager.node("docs:to-folder/secret").delete()
    assert await manager.node("docs:within/file").read_text() == "own"
    await manager.node("docs:to-file").write_text("replaces the link")
    assert (outside / "secret").read_text() == "secret"
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]


async def test_a_folder_of_a_tenant_stays_below_the_roots(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root, outside):
        folder.mkdir()
    (outside / "secret").write_text("secret")
    manager = StorageManager(roots=[root])
    (root / "moved").symlink_to(outside)
    for base in (root / "moved", outside):
        mount = Mount("acme", "docs", "local", {"base_path": str(base)}, trusted=False)
        with pytest.raises(StorageError, match="leads out"):
            await manager.node_of(mount, "secret").read_bytes()
        trusted = Mount("acme", "docs", "local", {"base_path": str(base)})
        assert await manager.node_of(trusted, "secret").read_text() == "secret"
    manager.close()


@pytest.mark.parametrize("place", CLOUDS, indirect=True)
async def test_a_tenants_endpoint_is_behind_the_network_guard(place: Place) -> None:
    manager = StorageManager(guard=NetworkGuard(()))
    node = manager.node_of(Mount("acme", "docs", *place, trusted=False), "x")
    with pytest.raises(StorageError, match="allow_private_networks") as caught:
        await node.exists()
    assert "127.0.0.1" not in caught.value.message
    manager.close()
    permitted = StorageManager(guard=NetworkGuard(parsed(("127.0.0.0/8",))))
    node = permitted.node_of(Mount("acme", "docs", *place, trusted=False), "x")
    assert not await node.exists()
    permitted.close()


@pytest.mark.parametrize("place", ["s3", "azure"], indirect=True)
async def test_a_server_that_is_away_is_a_temporary_error(
    manager: StorageManager, place: Place
) -> None:
    protocol, config = place
    closed = "http://127.0.0.1:1"
    text = config.get("connection_string")
    away = (
        {**config, "endpoint_url": closed}
        if text is None
        else {**config, "connection_string": re.sub(r"http://[^/]+", closed, text)}
    )
    manager.register("away", protocol, away)
    with pytest.raises(StorageError) as caught:
        await manager.node("away:x").exists()
    assert caught.value.is_temporary
    assert "127.0.0.1" not in caught.value.message


@pytest.mark.parametrize("place", ["azure"], indirect=True)
async def test_a_wrong_key_is_a_final_error(manager: StorageManager, place: Place) -> None:
    protocol, config = place
    wrong = re.sub("AccountKey=....", "AccountKey=AAAA", config["connection_string"])
    manager.register("wrong", protocol, {**config, "connection_string": wrong})
    with pytest.raises(StorageError) as caught:
        await manager.node("wrong:x").read_bytes()
    assert not caught.value.is_temporary


async def test_a_storage_that_hangs_takes_no_threads_from_other_tenants(
    manager: StorageManager,
) -> None:
    gate, running = threading.Event(), threading.Semaphore(0)

    def hang(backend: Backend) -> None:
        running.release()
        gate.wait(PATIENCE_SECONDS)

    for tenant in ("slow", "other"):
        manager.register("docs", "memory", {}, tenant_id=tenant)
    mount = manager.find_mount("docs", "slow")
    assert mount is not None
    hanging = [asyncio.create_task(manager.run(mount, hang)) for _ in range(100)]
    await asyncio.to_thread(running.acquire)
    for task in hanging[:50]:
        task.cancel()
    await manager.node("docs:a", tenant_id="other").write_text("x")
    gate.set()
    await asyncio.gather(*hanging[50:])
    assert sum(task.cancelled() for task in hanging) <= 50
