"""Mails with attachments are read back by programs that are not ours"""

from __future__ import annotations

import email
import email.policy
import os
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from tests.harness.errors import NotAvailable
from tests.harness.mail_readers import read_with_node, save_with_neomutt
from tests.harness.running import mail, running
from tests.protocols.delivery.conftest import Settings
from tests.protocols.delivery.test_attachments import NAMES, inline

from mail_proxy.testing.smtp_server import ScriptedSmtpServer

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
Result = TypeVar("Result")

INVITATION = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nSUMMARY:Grüße\r\n"
    "END:VEVENT\r\nEND:VCALENDAR\r\n"
).encode()
FORWARDED = b"Subject: old\r\nFrom: a@example.org\r\n\r\nHello\r\n.\r\nFrom here\r\n"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
#: Longer names than a file may have on this system; readers that save nothing get those too.
_LONGEST_FILE_NAME = 255
SAVED_NAMES = [name for name in NAMES if len(name.encode()) <= _LONGEST_FILE_NAME]
MESSAGES: dict[str, dict[str, Any]] = {
    "names": {
        "attachments": [inline(bytes([n]) * 200, name) for n, name in enumerate(NAMES)],
    },
    "places": {
        "body": "Grüße\n",
        "body_html": '<p>Grüße <img src="cid:logo@x"></p>',
        "attachments": [
            inline(PICTURE, "logo.png", content_id="<logo@x>"),
            inline(INVITATION, "invite.ics"),
            inline(b"a;b\r\n", "Übersicht.csv", mime_type="text/csv; charset=utf-8"),
            inline(b"", "empty.bin"),
            inline(PICTURE, "shown.png", disposition="inline"),
            inline(FORWARDED, "old.eml"),
        ],
    },
}
#: Lines of neomutt's menu: the multipart below the first, then its parts, in order.
PLACES = {"logo.png": 4, "invite.ics": 5, "Übersicht.csv": 6, "empty.bin": 7, "shown.png": 8}
MESSAGE_PLACE = 9


@pytest.fixture
async def sent(config: Settings, server: ScriptedSmtpServer) -> dict[str, bytes]:
    """Octets of the messages as a mail server got them."""
    async with running(config()) as post:
        await post.account(server)
        await post.add(*(mail(id_, **fields) for id_, fields in MESSAGES.items()))
        await post.reports.sent(*MESSAGES)
    read = {octets: parsed(octets) for octets in (each.data for each in server.accepted)}
    return {str(message["X-Genro-Mail-ID"]): octets for octets, message in read.items()}


def parsed(octets: bytes) -> EmailMessage:
    return cast(EmailMessage, email.message_from_bytes(octets, policy=email.policy.default))


def available(read: Callable[[], Result]) -> Result:
    """Skip a test without its program; CI has all of them."""
    try:
        return read()
    except NotAvailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


async def test_python_reads_what_was_sent(sent: dict[str, bytes]) -> None:
    found = list(parsed(sent["names"]).iter_attachments())
    assert [part.get_filename() for part in found] == list(NAMES)
    assert [part.get_content() for part in found] == [bytes([n]) * 200 for n in range(len(NAMES))]
    everything = parsed(sent["places"])
    assert everything.defects == []
    parts = {str(part.get_filename()): part for part in leaves(everything)}
    assert parts["logo.png"]["Content-ID"] == "<logo@x>"
    assert parts["invite.ics"].get_content_type() == "text/calendar"
    assert parts["invite.ics"].get_param("method") == "REQUEST"
    assert parts["old.eml"].get_content()["Subject"] == "old"
    for name, content in (
        *(("logo.png", PICTURE), ("shown.png", PICTURE), ("empty.bin", b"")),
        *(("invite.ics", INVITATION), ("Übersicht.csv", b"a;b\r\n")),
    ):
        assert parts[name].get_payload(decode=True) == content


def leaves(message: EmailMessage) -> Iterator[EmailMessage]:
    """Yield the parts of a mail, and not those of a mail inside it."""
    for part in message.iter_parts():
        if part.get_content_maintype() == "multipart":
            yield from leaves(part)
        else:
            yield part


async def test_mailparser_reads_what_was_sent(sent: dict[str, bytes]) -> None:
    names, places = available(lambda: read_with_node(sent["names"], sent["places"]))
    assert [file.name for file in names.files] == list(NAMES)
    assert [file.content for file in names.files] == [bytes([n]) * 200 for n in range(len(NAMES))]
    assert places.text == "Grüße\n"
    assert places.html == '<p>Grüße <img src="cid:logo@x"></p>\n'
    files = {file.name: file for file in places.files}
    logo = files["logo.png"]
    assert (logo.content_id, logo.is_related, logo.disposition) == ("logo@x", True, "inline")
    assert logo.content == files["shown.png"].content == PICTURE
    assert (files["shown.png"].is_related, files["shown.png"].disposition) == (False, "inline")
    invitation = files["invite.ics"]
    assert (invitation.type, invitation.content) == ("text/calendar", INVITATION)
    table = files["Übersicht.csv"]
    assert (table.type, table.content, table.disposition) == ("text/csv", b"a;b\r\n", "attachment")
    assert files["empty.bin"].content == b""
    message = files["old.eml"]
    assert message.type == "message/rfc822"
    assert parsed(message.content)["Subject"] == "old"


async def test_neomutt_saves_what_was_sent(sent: dict[str, bytes], tmp_path: Path) -> None:
    names, places = tmp_path / "names", tmp_path / "places"
    for folder in (names, places):
        folder.mkdir()
    lines = [1 + NAMES.index(name) for name in SAVED_NAMES]
    available(lambda: save_with_neomutt(sent["names"], lines, names))
    saved = {path.name: path.read_bytes() for path in names.iterdir()}
    assert saved == {name: bytes([NAMES.index(name)]) * 200 for name in SAVED_NAMES}
    save_with_neomutt(sent["places"], [*PLACES.values(), MESSAGE_PLACE], places)
    saved = {path.name: path.read_bytes() for path in places.iterdir()}
    # A message is saved as a mailbox, behind a line that neomutt writes.
    _, _, message = saved.pop("old.eml").replace(b"\r\n", b"\n").partition(b"\n")
    assert parsed(message)["Subject"] == "old"
    assert message.partition(b"\n\n")[2].startswith(b"Hello\n.\nFrom here\n")
    assert saved == {
        "logo.png": PICTURE,
        "invite.ics": INVITATION.replace(b"\r\n", b"\n"),
        "Übersicht.csv": b"a;b\r\n",
        "empty.bin": b"",
        "shown.png": PICTURE,
    }
