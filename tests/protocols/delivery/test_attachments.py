"""Mails arrive with their attachments, from wherever these come"""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import json
import os
import re
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection, text
from tests.harness.file_server import File, FileCall, FileServer, file_server
from tests.harness.running import Post, mail, running
from tests.protocols.delivery.conftest import Settings
from tests.protocols.delivery.test_dkim import ED, RSA, add_key, valid

from mail_proxy.testing.smtp_server import ScriptedSmtpServer, Stage

EACH_WAY = pytest.mark.parametrize(
    "offer",
    [
        {"chunking": chunking, "pipelining": pipelining}
        for chunking in (0, 1)
        for pipelining in (0, 1)
    ],
    ids=str,
)
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 700  # more than is kept in memory
TEXT = "Grüße\n".encode()
LOOPBACK = ["127.0.0.0/8"]


def inline(content: bytes, filename: str = "a.bin", **fields: Any) -> dict[str, Any]:
    """An attachment whose content is in the message."""
    path = "base64:" + base64.b64encode(content).decode()
    return {"filename": filename, "storage_path": path, **fields}


def parsed(data: bytes) -> EmailMessage:
    return cast(EmailMessage, email.message_from_bytes(data, policy=email.policy.default))


def files(data: bytes) -> dict[str | None, bytes]:
    """The attachments of a mail by name."""
    return {
        part.get_filename(): part.get_payload(decode=True)
        for part in parsed(data).iter_attachments()
    }


def path_of(call: FileCall) -> str:
    return str(json.loads(call.body)["storage_path"])


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Sender:
    """Sends messages with attachments, and returns what the mail server has."""

    def __init__(self, post: Post, server: ScriptedSmtpServer) -> None:
        self.post = post
        self._server = server

    async def sent(self, *attachments: dict[str, Any], id_: str = "m1", **fields: Any) -> bytes:
        await self.post.add(mail(id_, attachments=list(attachments), **fields))
        await self.post.reports.sent(id_)
        return self._server.accepted[-1].data

    async def error(self, *attachments: dict[str, Any], id_: str = "m1") -> str:
        added = await self.post.add(mail(id_, attachments=list(attachments)))
        assert added.queued == 1
        error = await self.post.reports.error(id_)
        assert not self._server.accepted
        return error

    async def deferred(self, *attachments: dict[str, Any], id_: str = "m1") -> str:
        await self.post.add(mail(id_, attachments=list(attachments)))
        shown = await self.post.in_state(id_, "deferred")
        assert not self._server.accepted
        assert shown.retry_count == 1
        return str(shown.error)


@pytest.fixture
async def sender(config: Settings, server: ScriptedSmtpServer, tmp_path: Path) -> Any:
    folder = tmp_path / "roots"
    folder.mkdir()
    given = {"attachment_roots": [folder], "base_dir": folder, "allow_private_urls": LOOPBACK}
    cache = {"cache_disk_dir": tmp_path / "cache"}
    async with running(config(attachments=given, cache=cache)) as post:
        await post.account(server)
        yield Sender(post, server)


@pytest.fixture
async def web() -> Any:
    async with file_server() as serving:
        yield serving


@pytest.mark.parametrize("workers", [0, 1])
async def test_every_mode_brings_its_content(
    config: Settings, server: ScriptedSmtpServer, web: FileServer, tmp_path: Path, workers: int
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "local.pdf").write_bytes(PDF)
    web.files = {
        "/report.pdf": File(PDF),
        "/mail-proxy/attachments": lambda call: File(
            json.loads(call.body)["storage_path"].encode()
        ),
    }
    given = {
        "attachment_roots": [tmp_path / "files"],
        "base_dir": tmp_path / "files",
        "allow_private_urls": LOOPBACK,
    }
    settings = config(
        attachments=given,
        concurrency={"workers": workers},
        cache={"cache_disk_dir": tmp_path / "cache"},
    )
    async with running(settings) as post:
        await post.account(server)
        await post.tenant("default", client_base_url=web.url(""))
        data = await Sender(post, server).sent(
            inline(TEXT, "grüße.txt"),
            inline(PDF, "inline.pdf"),
            {"filename": "url.pdf", "storage_path": web.url("/report.pdf")},
            {"filename": "local.pdf", "storage_path": str(tmp_path / "files" / "local.pdf")},
            {"filename": "rel.pdf", "storage_path": "local.pdf", "fetch_mode": "filesystem"},
            {"filename": "own.txt", "storage_path": "invoices/7"},
        )
    assert files(data) == {
        "grüße.txt": TEXT,
        "inline.pdf": PDF,
        "url.pdf": PDF,
        "local.pdf": PDF,
        "rel.pdf": PDF,
        "own.txt": b"invoices/7",
    }
    types = [part.get_content_type() for part in parsed(data).iter_attachments()]
    assert types == ["text/plain", *["application/pdf"] * 4, "text/plain"]
    body = parsed(data).get_body()
    assert body is not None
    assert body.get_content() == "Hello Bob\r\n"
    spool = (tmp_path / "cache" / "spool").rglob("*")
    assert {path.name for path in spool if path.is_file()} == {"lock"}


@ONE_DATABASE
async def test_html_images_calendars_and_messages_have_their_places(sender: Sender) -> None:
    invitation = b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"
    forwarded = b"From: a@example.org\nSubject: old\n\nHello\n.\n..dots\n"
    long_line = b"Subject: x\r\n\r\n" + b"y" * 5000
    data = await sender.sent(
        inline(b"logo", "logo.png", content_id="<logo@x>"),
        inline(invitation, "invite.ics"),
        inline(invitation, "kept.ics", disposition="attachment"),
        inline(forwarded, "old.eml"),
        inline(long_line, "long.eml"),
        inline(b"?", "unknown.weird"),
        inline(b"a,b", "given.txt", mime_type="text/csv; charset=utf-8"),
        inline(b"pic", "shown.png", disposition="inline"),
        body_html='<img src="cid:logo@x">',
    )
    tree = structure(parsed(data))
    assert tree == (
        "multipart/mixed",
        [
            (
                "multipart/alternative",
                ["text/plain", ("multipart/related", ["text/html", "image/png"]), "text/calendar"],
            ),
            "text/calendar",
            ("message/rfc822", ["text/plain"]),
            *("application/octet-stream", "application/octet-stream", "text/csv", "image/png"),
        ],
    )
    parts = {part.get_filename(): part for part in parsed(data).walk() if part.get_filename()}
    assert parts["invite.ics"].get_param("method") == "REQUEST"
    assert parts["invite.ics"].get_content_disposition() is None
    assert parts["invite.ics"].get_payload(decode=True) == invitation
    assert parts["kept.ics"].get_param("method") == "REQUEST"
    assert parts["logo.png"]["Content-ID"] == "<logo@x>"
    assert parts["logo.png"].get_content_disposition() == "inline"
    assert parts["shown.png"].get_content_disposition() == "inline"
    assert parts["given.txt"].get_content_charset() == "utf-8"
    assert parts["long.eml"].get_payload(decode=True) == long_line
    assert parts["old.eml"]["Content-Transfer-Encoding"] == "7bit"
    assert b"\r\n\r\n" + forwarded.replace(b"\n", b"\r\n") + b"\r\n--" in data


def structure(part: EmailMessage) -> Any:
    if not part.is_multipart():
        return part.get_content_type()
    inner = cast(list[EmailMessage], part.get_payload())
    return part.get_content_type(), [structure(each) for each in inner]


@ONE_DATABASE
async def test_an_image_of_a_plain_mail_is_an_attachment_like_others(sender: Sender) -> None:
    data = await sender.sent(inline(b"logo", "logo.png", content_id="logo"))
    assert structure(parsed(data)) == ("multipart/mixed", ["text/plain", "image/png"])
    data = await sender.sent(
        inline(b"logo", "logo.png", content_id="logo"), id_="m2", content_type="html"
    )
    assert structure(parsed(data)) == ("multipart/related", ["text/html", "image/png"])


@ONE_DATABASE
async def test_an_8bit_message_is_sent_as_8bit(sender: Sender) -> None:
    content = "Subject: x\n\nGrüße\n".encode()
    data = await sender.sent(inline(content, "old.eml"))
    assert "Grüße\r\n".encode() in data
    assert b"Content-Transfer-Encoding: 8bit" in data.partition(b"\r\n\r\n")[0]


NAMES = (
    "report.pdf",
    "Grüße aus Köln.pdf",
    "報告書.pdf",
    'a "quoted" \\ name.pdf',
    "=?utf-8?q?no?=.pdf",
    "x" * 251 + ".pdf",
    "ü" * 251 + ".pdf",
    "😀" * 100 + ".pdf",
    "a;b=c'd%41.pdf",
)


@ONE_DATABASE
async def test_file_names_arrive_as_they_are(sender: Sender) -> None:
    data = await sender.sent(*(inline(b"x", name) for name in NAMES))
    read = [part.get_filename() for part in parsed(data).iter_attachments()]
    assert read == list(NAMES)
    olds = [part.get_param("name") for part in parsed(data).iter_attachments()]
    assert olds == list(NAMES)
    assert max(map(len, data.split(b"\r\n"))) < 400


@ONE_DATABASE
async def test_the_md5_in_a_file_name_is_taken_out_and_checked(
    sender: Sender, web: FileServer
) -> None:
    marked = f"report_{{MD5:{md5(PDF).upper()}}}.pdf"
    data = await sender.sent(inline(PDF, marked))
    assert files(data) == {"report.pdf": PDF}
    # The content is known by its MD5 when a URL has brought it.
    web.files["/a"] = File(PDF)
    url = {"filename": "a.pdf", "storage_path": web.url("/a"), "content_md5": md5(PDF)}
    await sender.sent(url, id_="m2")
    missing = {"filename": marked, "storage_path": web.url("/gone")}
    assert files(await sender.sent(missing, id_="m3")) == {"report.pdf": PDF}
    assert [call.path for call in web.calls] == ["/a"]


FAILURES: dict[str, tuple[dict[str, Any], str]] = {
    "wrong MD5": (inline(TEXT, content_md5="0" * 32), f"has the MD5 {md5(TEXT)}, not 000"),
    "outside": ({"filename": "a", "storage_path": "/etc/passwd"}, "outside of the folders"),
    "dots": (
        {"filename": "a", "storage_path": "../encryption_key", "fetch_mode": "filesystem"},
        "outside of the folders",
    ),
    "missing": (
        {"filename": "a", "storage_path": "none", "fetch_mode": "filesystem"},
        "no such file",
    ),
    "folder": ({"filename": "a", "storage_path": ".", "fetch_mode": "filesystem"}, "outside"),
    "no storage": (
        {"filename": "a", "storage_path": "mount:x", "fetch_mode": "storage"},
        "storage 'mount': no such storage",
    ),
    "no application": ({"filename": "a", "storage_path": "x"}, "no client_base_url"),
}


@ONE_DATABASE
@pytest.mark.parametrize("case", FAILURES)
async def test_a_message_whose_file_cannot_be_had_ends_in_error(sender: Sender, case: str) -> None:
    attachment, words = FAILURES[case]
    error = await sender.error(attachment)
    assert error.startswith(f"attachment '{attachment['filename']}': ")
    assert words in error


@ONE_DATABASE
async def test_links_and_pipes_do_not_lead_out_of_the_roots(sender: Sender, tmp_path: Path) -> None:
    folder = tmp_path / "roots"
    (tmp_path / "secret").write_bytes(TEXT)
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)
    (folder / "file").write_bytes(TEXT)
    (folder / "inner").symlink_to(folder / "file")
    os.mkfifo(folder / "pipe")
    given = {"filename": "a", "fetch_mode": "filesystem"}
    for number, name in enumerate(("link", "up/secret", str(folder / "up" / "secret"))):
        error = await sender.error({**given, "storage_path": name}, id_=f"e{number}")
        assert "outside of the folders" in error
    assert "is not a file" in await sender.error({**given, "storage_path": "pipe"}, id_="pipe")
    assert files(await sender.sent({**given, "storage_path": "inner"})) == {"a": TEXT}


@ONE_DATABASE
async def test_files_are_refused_where_no_folder_is_named(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with running(config()) as post:
        await post.account(server)
        sender = Sender(post, server)
        error = await sender.error({"filename": "a", "storage_path": "/etc/passwd"})
        assert "attachment_roots (GMP_ATTACHMENT_ROOTS) names no folder" in error


@ONE_DATABASE
async def test_sizes_are_bounded_with_the_numbers(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    settings = config(attachments={"max_attachment_mb": 0.3, "max_message_mb": 0.5})
    async with running(settings) as post:
        await post.account(server)
        sender = Sender(post, server)
        error = await sender.error(inline(b"x" * 300_001))
        assert error == "attachment 'a.bin': has 0.3 MB or more; allowed: 0.3 MB"
        error = await sender.error(inline(b"x" * 200_000), inline(b"x" * 180_000), id_="m2")
        assert re.fullmatch(r"the mail has 0.52\d MB; allowed: 0.5 MB \(max_message_mb\)", error)


@ONE_DATABASE
async def test_contents_beyond_the_memory_budget_are_files(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    contents = {f"{number}.bin": bytes([number]) * 50_000 for number in range(8)}
    settings = config(attachments={"attachment_memory_mb": 0.12})
    async with running(settings) as post:
        await post.account(server)
        data = await Sender(post, server).sent(*(inline(c, n) for n, c in contents.items()))
    assert files(data) == contents


@pytest.mark.parametrize("workers", [0, 1])
async def test_logins_are_sealed_and_sent_to_the_named_server_only(
    config: Settings, server: ScriptedSmtpServer, workers: int
) -> None:
    login = {"method": "bearer", "token": "the-planted-token"}
    settings = config(
        attachments={"allow_private_urls": LOOPBACK}, concurrency={"workers": workers}
    )
    async with file_server() as web, file_server() as other, running(settings) as post:
        other.files["/b"] = File(TEXT)
        web.files["/a"] = File(status=302, headers={"Location": "/c"})
        web.files["/c"] = File(status=302, headers={"Location": other.url("/b")})
        await post.account(server)
        attachment = {"filename": "a", "storage_path": web.url("/a"), "auth": login}
        data = await Sender(post, server).sent(attachment)
        stored = await post.proxy._db.read(_contents)
        again = await post.add(mail(attachments=[attachment]))
    assert files(data) == {"a": TEXT}
    assert [call.headers.get("authorization") for call in web.calls] == [
        "Bearer the-planted-token",
        "Bearer the-planted-token",
    ]
    assert "authorization" not in other.calls[0].headers
    assert "ENC:" in stored
    assert "planted" not in stored
    assert [each.status for each in again.duplicates] == ["sent"]


def _contents(connection: Connection) -> str:
    return "".join(connection.execute(text("SELECT content FROM message_payload")).scalars())


async def test_the_same_message_again_is_a_duplicate_and_another_file_replaces_it(
    config: Settings,
) -> None:
    login = {"method": "basic", "user": "u", "password": "p"}
    attachment = {"filename": "a", "storage_path": "https://example.org/a", "auth": login}
    async with running(config(scheduler_active=False)) as post:
        await post.account(9)
        answers = [
            await post.add(mail(attachments=[each]))
            for each in (
                attachment,
                attachment,
                {**attachment, "auth": {**login, "password": "q"}},
                {**attachment, "auth": {**login, "password": "q"}},
                {**attachment, "filename": "b"},
                {**attachment, "filename": "b", "content_md5": "0" * 32},
            )
        ]
    assert [(a.queued, a.replaced, len(a.duplicates)) for a in answers] == [
        (1, 0, 0),
        (0, 0, 1),
        (1, 1, 0),
        (0, 0, 1),
        (1, 1, 0),
        (1, 1, 0),
    ]


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, 116_735, 116_736, 116_737, 1_000_003])
@EACH_WAY
@ONE_DATABASE
async def test_the_declared_size_is_that_of_the_message(
    config: Settings, size: int, offer: dict[str, bool]
) -> None:
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    async with ScriptedSmtpServer(size=35_000_000, **offer) as server, running(config()) as post:
        await post.account(server)
        data = await Sender(post, server).sent(inline(content), inline(TEXT, "b"))
        (accepted,) = server.accepted
    assert list(files(data).values()) == [content, TEXT]
    assert f"SIZE={len(data)}" in accepted.parameters


@EACH_WAY
@ONE_DATABASE
@pytest.mark.parametrize(
    ("stage", "reply", "status"),
    [
        ("MAIL", "550 no", "error"),
        ("RCPT", "451 later", "deferred"),
        ("RCPT", "550 no such user", "error"),
        ("end of data", "451 later", "deferred"),
        ("end of data", "554 too bad", "error"),
    ],
)
async def test_refusals_of_a_streamed_mail_are_its_outcome(
    config: Settings, offer: dict[str, bool], stage: Stage, reply: str, status: str
) -> None:
    async with ScriptedSmtpServer(**offer) as server, running(config()) as post:
        await post.account(server)
        server.on(stage, reply, times=1)
        await post.add(mail("m1", attachments=[inline(PDF * 10)]))
        shown = await post.in_state("m1", status)
        await post.add(mail("m2", attachments=[inline(PDF)]))
        await post.reports.sent("m2")
    assert reply.partition(" ")[2] in str(shown.error)


@ONE_DATABASE
async def test_a_server_that_does_not_know_bdat_gets_data_later(config: Settings) -> None:
    async with ScriptedSmtpServer(chunking=True) as server, running(config()) as post:
        await post.account(server)
        server.on("end of data", "502 what", times=1)
        await post.add(mail("m1", attachments=[inline(PDF)]))
        shown = await post.in_state("m1", "deferred")
        assert "BDAT refused: 502 what" in str(shown.error)
        await post.add(mail("m2", attachments=[inline(PDF)]))
        await post.reports.sent("m2")
        commands = [line.partition(" ")[0] for _, line in server.commands]
    assert commands.count("BDAT") == commands.count("DATA") == 1


@ONE_DATABASE
@pytest.mark.parametrize("size", [1000, 400_000])
async def test_mails_with_files_are_signed(
    config: Settings, server: ScriptedSmtpServer, size: int
) -> None:
    async with running(config()) as post:
        await post.account(server)
        keys = [await add_key(post, RSA), await add_key(post, ED)]
        await Sender(post, server).sent(
            inline(PDF[:size], "a.pdf"), inline(b"Subject: x\n\nHello  \n\n", "b.eml")
        )
    assert valid(server.accepted[0], *keys) == 2
