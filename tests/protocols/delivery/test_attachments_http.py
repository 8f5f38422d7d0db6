"""Attachments from web servers that are slow, wrong or hostile"""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.file_server import File, FileCall, FileServer, file_server, zipped
from tests.harness.running import eventually, mail, running
from tests.protocols.delivery.conftest import Settings
from tests.protocols.delivery.test_attachments import LOOPBACK, PDF, TEXT, Sender, files, md5

from mail_proxy.operations import messages
from mail_proxy.operations.callers import Caller
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.wire.messages import RetryMessages

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
_MOST_MB = 0.4


@pytest.fixture
async def web() -> AsyncIterator[FileServer]:
    async with file_server() as serving:
        yield serving


@pytest.fixture
async def sender(
    config: Settings, server: ScriptedSmtpServer, tmp_path: Path
) -> AsyncIterator[Sender]:
    given = {
        "allow_private_urls": LOOPBACK,
        "max_attachment_mb": _MOST_MB,
        "attachment_timeout": 1.0,
    }
    cache = {"cache_disk_dir": tmp_path / "cache"}
    async with running(config(attachments=given, cache=cache)) as post:
        await post.account(server)
        yield Sender(post, server)


def at(web: FileServer, path: str = "/a", **fields: Any) -> dict[str, Any]:
    return {"filename": "a.pdf", "storage_path": web.url(path), **fields}


def redirect(target: str, status: int = 302) -> File:
    return File(status=status, headers={"Location": target})


GOOD = {
    "plain": File(PDF),
    "chunks": File(
        f"{len(PDF):x}\r\n".encode() + PDF + b"\r\n0\r\n\r\n",
        length=None,
        headers={"Transfer-Encoding": "chunked"},
    ),
    "until the end": File(PDF, length=None),
    "gzip": zipped(PDF),
    "gzip in two members": File(
        gzip.compress(PDF[:70_000]) + gzip.compress(PDF[70_000:]),
        headers={"Content-Encoding": "gzip"},
    ),
    "deflate": File(zlib.compress(PDF), headers={"Content-Encoding": "deflate"}),
    "more than announced": File(PDF + b"more", length=len(PDF)),
    "a wrong type": File(PDF, headers={"Content-Type": "text/html"}),
}


@pytest.mark.parametrize("case", GOOD)
async def test_what_servers_send_is_understood(sender: Sender, web: FileServer, case: str) -> None:
    web.files["/a"] = GOOD[case]
    assert files(await sender.sent(at(web))) == {"a.pdf": PDF}
    assert web.calls[0].headers["accept-encoding"] == "identity"


FINAL = {
    "404": (File(status=404), "the server answered 404"),
    "410": (File(status=410), "the server answered 410"),
    "403": (File(status=403), "the server answered 403"),
    "204": (File(status=204), "the server answered 204"),
    "announced too large": (File(length=25_000_000), "has 25 MB or more; allowed: 0.4 MB"),
    "endless": (File(length=None, endless=True), "or more; allowed: 0.4 MB"),
    "larger than announced": (
        File(gzip.compress(bytes(50_000_000)), headers={"Content-Encoding": "gzip"}),
        "or more; allowed: 0.4 MB",
    ),
    "not gzip": (File(b"x" * 99, headers={"Content-Encoding": "gzip"}), "cannot be decompressed"),
    "more than gzip": (
        File(gzip.compress(PDF) + b"more", headers={"Content-Encoding": "gzip"}),
        "cannot be decompressed",
    ),
    "br": (File(b"x", headers={"Content-Encoding": "br"}), "has the Content-Encoding br"),
    "loop": (redirect("/a"), "more than 5 redirects"),
    "no location": (File(status=302), "redirect to a URL that is missing"),
    "file": (redirect("file:///etc/passwd"), "redirect to a URL that must start with http"),
    "login": (redirect("http://a:b@127.0.0.1/"), "must not hold user or password"),
    "private": (redirect("http://10.0.0.1/"), "is refused: the host has no public address"),
}


@pytest.mark.parametrize("case", FINAL)
async def test_a_wrong_answer_ends_the_message(sender: Sender, web: FileServer, case: str) -> None:
    file, words = FINAL[case]
    web.files["/a"] = file
    error = await sender.error(at(web))
    assert error.startswith("attachment 'a.pdf': ")
    assert words in error


TEMPORARY = {
    "503": (File(status=503), "the server answered 503"),
    "500": (File(status=500), "the server answered 500"),
    "408": (File(status=408), "the server answered 408"),
    "425": (File(status=425), "the server answered 425"),
    "429": (File(status=429, headers={"Retry-After": "1"}), "the server answered 429"),
    "slow": (File(b"x", length=100, hangs=True), "not fetched within 1 s"),
    "silent": (File(length=None, hangs=True), "not fetched within 1 s"),
    "less than announced": (File(b"x", length=100), "the connection broke off"),
    "half a gzip": (
        File(gzip.compress(PDF)[:-9], headers={"Content-Encoding": "gzip"}),
        "the compressed answer is not complete",
    ),
}


@pytest.mark.parametrize("case", TEMPORARY)
async def test_a_server_in_trouble_is_asked_again_later(
    sender: Sender, web: FileServer, case: str
) -> None:
    file, words = TEMPORARY[case]
    web.files["/a"] = file
    assert words in await sender.deferred(at(web))
    web.files["/a"] = File(PDF)
    again = RetryMessages(ids=["m1"], now=True)
    await sender.post.proxy.door.call(messages.retry, Caller(None), again)
    await sender.post.reports.sent("m1")


async def test_nobody_listens(sender: Sender, unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}/a"
    error = await sender.deferred({"filename": "a", "storage_path": url})
    assert "no connection: " in error


async def test_five_redirects_are_followed(sender: Sender, web: FileServer) -> None:
    for number in range(5):
        web.files[f"/{number}"] = redirect(f"/{number + 1}", 301 + number % 2)
    web.files["/5"] = File(PDF)
    assert files(await sender.sent(at(web, "/0"))) == {"a.pdf": PDF}


async def test_a_final_failure_counts_more_than_a_temporary_one(
    sender: Sender, web: FileServer
) -> None:
    web.files["/later"] = File(status=503)
    assert "answered 404" in await sender.error(at(web, "/later"), at(web, "/gone"))


#: Ways to write an address that is not public.
PRIVATE = (
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "2130706433",
    "127.0.0.1.",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "0.0.0.0",
    "0",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[::127.0.0.1]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "10.0.0.1",
    "10.1",
    "0xa.1",
    "012.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "192.168.257",
    "3232235777",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "100.64.0.1",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
)


#: Those of them that are no host of a URL.
NO_URLS = ("0177.0.0.1", "012.0.0.1", "①②⑦.⓪.⓪.①")


async def test_no_private_address_is_reached_however_it_is_written(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with file_server("0.0.0.0") as web, running(config()) as post:
        await post.account(server)
        records = [
            mail(f"m{number}", attachments=[{"filename": "a", "storage_path": web.url("/", host)}])
            for number, host in enumerate(PRIVATE)
        ]
        added = await post.add(*records)
        assert added.queued == len(PRIVATE)
        errors = {
            host: await post.reports.error(f"m{number}") for number, host in enumerate(PRIVATE)
        }
    assert not server.accepted
    assert not web.calls
    expected = (
        "attachment 'a': is refused: the host has no public address; allow_private_urls "
        "(GMP_ALLOW_PRIVATE_URLS) permits others"
    )
    others = {host: error for host, error in errors.items() if error != expected}
    assert others == dict.fromkeys(NO_URLS, "attachment 'a': the URL is not valid")


async def test_networks_that_tenants_may_use_do_not_count_for_urls(
    config: Settings, server: ScriptedSmtpServer, web: FileServer
) -> None:
    async with running(config(allow_private_networks=LOOPBACK)) as post:
        await post.account(server)
        assert "is refused" in await Sender(post, server).error(at(web))
    assert not web.calls


async def test_many_messages_with_one_url_fetch_it_once(
    config: Settings, server: ScriptedSmtpServer, web: FileServer, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 4000
    web.files["/a"] = File(content)
    settings = config(
        attachments={"allow_private_urls": LOOPBACK}, cache={"cache_disk_dir": tmp_path / "cache"}
    )
    async with running(settings) as post:
        await post.account(server)
        ids = [f"m{number}" for number in range(50)]
        await post.add(*(mail(id_, attachments=[at(web)]) for id_ in ids))
        await post.reports.sent(*ids)
    assert len(web.calls) == 1
    assert all(files(accepted.data) == {"a.pdf": content} for accepted in server.accepted)


async def test_a_tenant_fetches_three_at_once_and_leaves_others_alone(
    config: Settings, server: ScriptedSmtpServer, web: FileServer
) -> None:
    gate = asyncio.Event()
    async with running(config(attachments={"allow_private_urls": LOOPBACK})) as post:
        await post.account(server)
        await post.tenant("other")
        await post.account(server, tenant_id="other")
        for number in range(9):
            web.files[f"/{number}"] = File(TEXT, gate=gate)
        attachments = [at(web, f"/{number}") for number in range(9)]
        await post.add(mail("slow", attachments=attachments), tenant_id="default")
        await eventually(lambda: web.at_once == 3)
        web.files["/quick"] = File(TEXT)
        quick = mail("quick", attachments=[at(web, "/quick")])
        await post.add(quick, tenant_id="other")
        await post.reports.sent("quick")
        gate.set()
        await post.reports.sent("slow")
    assert web.most_at_once <= 4


async def test_the_application_gets_its_login_or_that_of_the_attachment(
    config: Settings, server: ScriptedSmtpServer, web: FileServer
) -> None:
    def answer(call: FileCall) -> File:
        path = json.loads(call.body)["storage_path"]
        return File(f"{call.headers['authorization']} {path}".encode())

    web.files = {"/own/files": answer}
    async with running(config()) as post:
        await post.account(server)
        await post.tenant(
            "default",
            client_base_url=web.url("/own/"),
            client_attachment_path="/files",
            client_auth={"method": "bearer", "token": "t"},
        )
        data = await Sender(post, server).sent(
            {"filename": "a", "storage_path": "a/b c"},
            {"filename": "b", "storage_path": "x:y"},
            {
                "filename": "c",
                "storage_path": "/abs",
                "fetch_mode": "endpoint",
                "auth": {"method": "basic", "user": "u", "password": "p"},
            },
        )
    assert files(data) == {"a": b"Bearer t a/b c", "b": b"Bearer t x:y", "c": b"Basic dTpw /abs"}
    assert {call.method for call in web.calls} == {"POST"}


async def test_an_application_does_not_send_the_service_to_private_hosts(
    config: Settings, server: ScriptedSmtpServer, web: FileServer
) -> None:
    web.files["/same"] = redirect("/file", 307)
    web.files["/file"] = File(TEXT)
    web.files["/other"] = redirect("http://10.0.0.1/file", 307)
    async with running(config(allow_private_networks=())) as post:
        await post.account(server)
        sender = Sender(post, server)
        attachment = {"filename": "a", "storage_path": "x"}
        for path in ("/same", "/other"):
            await post.tenant("default", client_base_url=web.url(""), client_attachment_path=path)
            if path == "/other":
                server.accepted.clear()
                assert "is refused: the host has no pub" in await sender.error(attachment, id_="m2")
            else:
                assert files(await sender.sent(attachment)) == {"a": TEXT}


async def test_contents_of_a_few_mb_are_cached_without_a_disk(
    config: Settings, server: ScriptedSmtpServer, web: FileServer
) -> None:
    web.files["/a"] = File(PDF)
    async with running(config(attachments={"allow_private_urls": LOOPBACK})) as post:
        await post.account(server)
        for id_ in ("m1", "m2"):
            assert files(await Sender(post, server).sent(at(web), id_=id_)) == {"a.pdf": PDF}
    assert len(web.calls) == 1


async def test_a_cached_content_is_bounded_as_well(
    config: Settings, server: ScriptedSmtpServer, web: FileServer
) -> None:
    web.files["/a"] = File(PDF)
    settings = config(attachments={"allow_private_urls": LOOPBACK, "max_attachment_mb": 0.1})
    rules = {"enabled": True, "action": "rewrite", "storage_url": "file:///none"}
    async with running(settings) as post:
        await post.account(server)
        await post.tenant("default", large_file_config=rules)
        await Sender(post, server).sent(at(web))
        await post.tenant("default", large_file_config={**rules, "enabled": False})
        server.accepted.clear()
        again = at(web, "/b", content_md5=md5(PDF))
        assert "allowed: 0.1 MB" in await Sender(post, server).error(again, id_="m2")


async def test_an_answer_in_tiny_chunks_takes_no_more_for_each(
    config: Settings, server: ScriptedSmtpServer, web: FileServer
) -> None:
    """A hostile server decides how long its chunks are."""

    async def needed(sender: Sender, count: int) -> float:
        body = b"1\r\nx\r\n" * count + b"0\r\n\r\n"
        path = f"/{count}"
        web.files[path] = File(body, length=None, headers={"Transfer-Encoding": "chunked"})
        begun = time.thread_time()
        data = await sender.sent(at(web, path), id_=f"m{count}")
        assert files(data) == {"a.pdf": b"x" * count}
        return time.thread_time() - begun

    given = {"allow_private_urls": LOOPBACK, "attachment_timeout": 100.0}
    async with running(config(attachments=given)) as post:
        await post.account(server)
        few, many = [await needed(Sender(post, server), count) for count in (2000, 16_000)]
    assert many < 24 * few


async def test_an_instance_may_have_one_application_for_all_tenants(
    config: Settings, server: ScriptedSmtpServer, web: FileServer
) -> None:
    web.files = {"/all": File(TEXT)}
    settings = config(attachments={"attachment_base_url": web.url("/all")})
    async with running(settings) as post:
        await post.account(server)
        data = await Sender(post, server).sent({"filename": "a", "storage_path": "x"})
    assert files(data) == {"a": TEXT}
