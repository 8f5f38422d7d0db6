"""The connection to PostgreSQL breaks between a COMMIT and its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.engine import make_url
from tests.harness.relay import Relay, relay_to
from tests.harness.running import mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.testing.smtp_server import ScriptedSmtpServer


@pytest.fixture
def database_url(postgres: str, request: pytest.FixtureRequest) -> str:
    return make_empty(postgres)


def make_empty(server: str) -> str:
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS lost_answers")
        connection.execute("CREATE DATABASE lost_answers TEMPLATE template_mail")
    return f"{server.rsplit('/', 1)[0]}/lost_answers"


@pytest.fixture
async def relay(database_url: str) -> AsyncIterator[Relay]:
    port = make_url(database_url).port
    assert port is not None
    async with relay_to(port) as relay:
        yield relay


def through(relay: Relay, url: str) -> str:
    return make_url(url).set(port=relay.port).render_as_string(hide_password=False)


@pytest.mark.parametrize(
    "said",
    [b"SET state = 'sending'", b"SET state = 'sent'", b"INSERT INTO message_payload"],
    ids=["claim", "outcome", "intake"],
)
async def test_every_message_is_sent_once_all_the_same(
    config: Settings, server: ScriptedSmtpServer, relay: Relay, database_url: str, said: bytes
) -> None:
    async with running(config(db_path=through(relay, database_url))) as post:
        await post.account(server)
        relay.lose_answer(said, b"COMMIT")
        added = post.add(mail("m1"), mail("m2"))
        if b"payload" in said:
            with pytest.raises(DatabaseUnavailable):
                await added
        else:
            await added
        await relay.lost.wait()
        await post.add(mail("m3"))
        await post.reports.sent("m1", "m2", "m3")
    assert len(server.accepted) == 3
