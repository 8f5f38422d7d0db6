"""A mail with a long body is read and composed in pieces"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterator
from dataclasses import replace

import pytest
from tests.harness.loop_holds import shortest_of, switching_as_in_a_service
from tests.harness.raw_messages import with_attachment
from tests.unit.delivery.given import account, message
from tests.unit.delivery.test_pipeline import TENANT

from mail_proxy.delivery.pipeline import Outgoing, prepare, preparing_steps
from mail_proxy.domain.long_text import LongText
from mail_proxy.domain.mail import Address, Mail
from mail_proxy.operations.composing import raw_form
from mail_proxy.smtp.compose import compose
from mail_proxy.sql.messages.large_content import LargeContent
from mail_proxy.sql.messages.mail_codec import dump_long_mail
from mail_proxy.wire.raw_message import read_raw

_SIZE = 8_000_000
_TEXTS = {
    "7bit": ("x" * 70 + "\r\n") * (_SIZE // 72),
    "quoted-printable": ("x" * 70 + "é\n") * (_SIZE // 73),
    "base64": "é\n" * (_SIZE // 3),
    "base64, one emoji in one line": "x" * _SIZE + "😀",
}


@pytest.fixture(autouse=True)
def as_in_a_service() -> Iterator[None]:
    with switching_as_in_a_service():
        yield


def _mail(text: str) -> Mail:
    people = Address("Ann", "ann@example.org"), (Address("", "bob@example.net"),)
    return Mail(*people, (), (), "Hello", text, "plain", "<m@example.org>", body_html="<p>")


@pytest.mark.parametrize("name", _TEXTS)
async def test_the_loop_goes_on_while_a_long_mail_is_composed(name: str) -> None:
    mail = _mail(_TEXTS[name])
    begun = time.thread_time()
    at_once = compose(mail, tracking_id="m", date=0)
    needed = time.thread_time() - begun
    content = bytearray().join(dump_long_mail(mail).pieces)
    made: list[Outgoing] = []

    async def deliver() -> None:
        claimed = replace(message(content=content), id="m", created_at=0)
        outgoing = Outgoing(account(), TENANT, claimed)
        waiting = prepare(preparing_steps({}), outgoing)
        assert isinstance(waiting, Awaitable)
        assert await waiting is None
        made.append(outgoing)

    hold = await shortest_of(5, deliver)
    assert isinstance(made[-1].mail.body, LongText)
    composed = made[-1].composed
    assert composed is not None
    assert composed.data == at_once.data or "one line" in name
    assert hold < needed / 2, (hold, needed)


@pytest.mark.parametrize("is_8bit", [False, True])
async def test_a_long_raw_message_is_read_while_it_is_sent(is_8bit: bool) -> None:
    octets = with_attachment(_SIZE) + b"\xff\r\n" * is_8bit
    raw = read_raw([octets])
    form = raw_form(_mail(""), raw, "m")
    assert isinstance(form, LargeContent)
    content = bytearray().join(form.pieces)
    claimed = replace(message(content=content), id="m", created_at=0)
    outgoing = Outgoing(account(), TENANT, claimed)
    waiting = prepare(preparing_steps({}), outgoing)
    assert isinstance(waiting, Awaitable)
    assert await waiting is None
    composed = outgoing.composed
    assert composed is not None
    assert composed.rest is not None
    assert len(composed.data) < 300_000
    sent = composed.data + b"".join(composed.rest.pieces())
    assert sent.startswith(raw.head)
    assert sent.endswith(octets[len(raw.head) :])
    assert composed.size == len(sent)
