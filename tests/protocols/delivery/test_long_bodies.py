"""A mail with a long body is taken in and sent, and the event loop goes on meanwhile"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy

import pytest
from tests.harness.loop_holds import shortest_of, switching_as_in_a_service
from tests.harness.running import mail, running

from mail_proxy import ProxyConfig
from mail_proxy.domain.long_text import LongText
from mail_proxy.operations import intake
from mail_proxy.operations.callers import Caller
from mail_proxy.sql.messages.mail_codec import dump_long_mail
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.wire.batches import ParsedBatch, parse_batch
from mail_proxy.wire.new_messages import MessageIn

_PIECE = "é\n" * 20_000
_PIECES = 400


@pytest.fixture(autouse=True)
def as_in_a_service() -> Iterator[None]:
    with switching_as_in_a_service():
        yield


def _batch(number: int, pieces: int) -> ParsedBatch:
    body = LongText((_PIECE,) * pieces)
    return parse_batch({"messages": [mail(f"m{number}", body=body)]}, 1)


async def test_the_loop_does_not_write_the_stored_form_of_a_long_body(
    config: Callable[..., ProxyConfig],
) -> None:
    (message,) = _batch(0, _PIECES).messages
    assert isinstance(message, MessageIn)
    begun = time.thread_time()
    dump_long_mail(message.mail("pk"))
    needed = time.thread_time() - begun
    batches = iter([_batch(number, _PIECES) for number in range(3)])
    async with running(config()) as post:
        await post.account(9)

        async def take_in() -> None:
            await post.proxy.door.call(intake.add, Caller(None), next(batches))

        hold = await shortest_of(3, take_in, time.thread_time)
    assert hold < needed / 2, (hold, needed)


async def test_a_long_body_arrives_as_it_was(config: Callable[..., ProxyConfig]) -> None:
    async with ScriptedSmtpServer() as server, running(config()) as post:
        await post.account(server)
        await post.proxy.door.call(intake.add, Caller(None), _batch(1, 40))
        (received,) = await server.received(1)
    body = message_from_bytes(received.data, policy=policy.SMTP).get_content()
    assert body.replace("\r\n", "\n") == _PIECE * 40
