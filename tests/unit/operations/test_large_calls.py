"""A large call is read beside the event loop, which goes on meanwhile"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson
import pytest
from tests.harness.loop_holds import shortest_of, switching_as_in_a_service
from tests.harness.raw_messages import encoded, with_attachment

from mail_proxy.domain.long_text import LongText
from mail_proxy.kit.side_thread import SideThread
from mail_proxy.operations.drafts import new_draft
from mail_proxy.operations.intake import read_batch
from mail_proxy.sql.messages.attachment_logins import AttachmentLogins
from mail_proxy.sql.messages.large_content import LargeContent
from mail_proxy.sql.messages.mail_codec import dump_long_mail
from mail_proxy.wire.batches import ParsedBatch, Rejection
from mail_proxy.wire.new_messages import MessageIn
from mail_proxy.wire.new_raw_messages import RawMessageIn

_LARGE = 8_000_000
_MOST = 1000
_LOGINS = AttachmentLogins(bytes(32))
#: Of the time that orjson takes for the whole text at once.
_SHARE = 2


def _body(*mails: dict[str, Any], ascii_only: bool = False) -> bytes:
    ordinary = {"from": "a@example.org", "to": ["b@example.net"], "subject": "s"}
    call = {"messages": [{"id": f"m{n}", **ordinary, **mail} for n, mail in enumerate(mails)]}
    return json.dumps(call, ensure_ascii=ascii_only, separators=(",", ":")).encode()


_WORDS = "Perché no, “così” \n"
_BODIES = {
    "one text": _body({"body": _WORDS * (_LARGE // 22)}),
    "one text in escapes": _body({"body": _WORDS * (_LARGE // 34)}, ascii_only=True),
    "one emoji in a text": _body({"body": "x" * _LARGE + "😀"}),
    "quotes and commas": _body({"body": '",' * (_LARGE // 3)}),
    "many messages": _body(*({"body": _WORDS * (_LARGE // _MOST // 22)} for _ in range(_MOST))),
    "many addresses": _body({"to": ["a" * 30] * 200_000}),
    "a broken end": _body({"body": _WORDS * (_LARGE // 22)})[:-5] + b"\\x",
    "a lone surrogate in a large text": _body({"body": "x\ud800" * (_LARGE // 8)}, ascii_only=True),
    "a lone surrogate before a large text": _body(
        {"subject": "\ud800"}, {"body": _WORDS * (_LARGE // 40)}, ascii_only=True
    ),
}


@pytest.fixture(autouse=True)
def as_in_a_service() -> Iterator[None]:
    with switching_as_in_a_service():
        yield


@pytest.mark.parametrize("name", _BODIES)
async def test_the_loop_goes_on_while_a_large_body_is_read(name: str) -> None:
    body = _BODIES[name]
    begun = time.thread_time()
    with suppress(ValueError):
        json.loads(body)
    at_once = time.thread_time() - begun
    hold = await shortest_of(5, lambda: read_batch(body, _MOST))
    assert hold < at_once / _SHARE, (hold, at_once)
    assert threading.active_count() < 20


async def test_a_broken_message_of_a_large_call_is_rejected_alone() -> None:
    batch = await read_batch(_BODIES["a lone surrogate before a large text"], _MOST)
    broken, good = batch.messages
    assert isinstance(broken, Rejection)
    assert broken.reason == "subject: has a lone surrogate, or octets that are not UTF-8"
    assert isinstance(good, MessageIn)
    batch = await read_batch(_BODIES["a lone surrogate in a large text"], _MOST)
    (broken,) = batch.messages
    assert isinstance(broken, Rejection)
    assert broken.reason.startswith("body: has a lone surrogate")


async def test_a_text_that_no_server_would_take_is_rejected() -> None:
    fits, octets, characters = "x" * 25_000_000, "é" * 12_500_001, "x" * 26_000_000
    body = _body({"body": fits}, {"body_html": octets})
    first, second = (await read_batch(body, _MOST)).messages
    assert isinstance(first, MessageIn)
    assert isinstance(first.body, LongText)
    assert "".join(first.body.pieces) == fits
    reason = "more than 25000000 octets; allowed: 25000000"
    assert isinstance(second, Rejection)
    assert (second.id, second.reason) == ("m1", f"body_html: {reason}")
    (third,) = (await read_batch(_body({"body": characters}), _MOST)).messages
    assert isinstance(third, Rejection)
    assert (third.id, third.reason) == ("m0", f"body: {reason}")


@pytest.mark.parametrize("fields", [{"body": "é\n" * 300_000}, {"body_html": 'é"\\' * 300_000}])
def test_a_large_mail_is_stored_as_a_small_one(fields: dict[str, str]) -> None:
    (message,) = _parsed(_body(fields)).messages
    assert isinstance(message, MessageIn)
    mail = message.mail("pk")
    record = {field.name: getattr(mail, field.name) for field in dataclasses.fields(mail)}
    del record["attachments"]
    assert b"".join(dump_long_mail(mail).pieces) == orjson.dumps(record)


@pytest.mark.parametrize("width", [0, 76])
async def test_the_loop_goes_on_while_a_raw_message_is_checked(width: int) -> None:
    text = encoded(with_attachment(_LARGE))
    begun = time.thread_time()
    base64.b64decode(text)
    at_once = time.thread_time() - begun
    if width:
        text = "\n".join(text[at : at + width] for at in range(0, len(text), width))
    body = json.dumps({"messages": [{"id": "m1", "raw": text}]}).encode()
    beside, drafts = SideThread("test"), []

    async def check() -> None:
        (message,) = (await read_batch(body, _MOST)).messages
        assert isinstance(message, RawMessageIn)
        given = message, "pk", "t", 2, 2 * _LARGE, _LOGINS, None  # a raw message has no links
        drafts.append(await beside.run(new_draft, *given))

    hold = await shortest_of(5, check)
    assert hold < at_once / _SHARE, (hold, at_once)
    assert isinstance(drafts[-1].content, LargeContent)
    assert max(map(len, drafts[-1].content.pieces)) < 300_000


def _parsed(body: bytes) -> ParsedBatch:
    return asyncio.run(read_batch(body, _MOST))
