"""A mail with a long body is stored, compared and claimed in pieces"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import Connection, select
from tests.database.test_queue import NOW, make_account, new
from tests.harness.loop_holds import shortest_of, switching_as_in_a_service

from mail_proxy.domain.long_text import LongText
from mail_proxy.domain.mail import Address, Mail
from mail_proxy.domain.message import MessageState
from mail_proxy.kit.ids import uuid7
from mail_proxy.sql import SqlDb, schema
from mail_proxy.sql.messages.insert import NewMessage, Stored
from mail_proxy.sql.messages.large_content import LONGEST_STR_BYTES
from mail_proxy.sql.messages.mail_codec import StoredMail, dump_head, dump_long_mail
from mail_proxy.sql.messages.queue import ClaimedMessage
from mail_proxy.sql.tables import Tables

#: Characters of one, two and four octets, and those that JSON escapes.
_LINE = 'é 😀 "quoted" \\ \t\n'
_TEXT = _LINE * 100_000


@pytest.fixture(autouse=True)
def as_in_a_service() -> Iterator[None]:
    with switching_as_in_a_service():
        yield


def _mail(text: str, size: int = 300_000) -> Mail:
    pieces = tuple(text[at : at + size] for at in range(0, len(text), size))
    people = Address("Ann", "ann@example.org"), (Address("", "bob@example.net"),)
    return Mail(*people, (), (), "Hello", LongText(pieces), "plain", "<m@example.org>")


def _message(account: str, mail: Mail, id_: str = "long") -> NewMessage:
    content = dump_long_mail(mail)
    head = dump_head(mail, content)
    return replace(new(account, id_), content=content, head=head, size=len(content))


async def _claimed(db: SqlDb, tables: Tables, account: str) -> Sequence[ClaimedMessage]:
    def claim(connection: Connection) -> Sequence[ClaimedMessage]:
        due = tables.queue.due(connection, [account], 2, NOW, 10)
        tables.queue.claim(connection, uuid7(), due)
        return due

    return await db.write(claim)


def _body(content: str | bytearray) -> str:
    assert isinstance(content, bytearray)
    body = StoredMail(content).mail().body
    assert isinstance(body, LongText)
    return "".join(body.pieces)


async def test_a_long_body_is_a_text_in_the_database_and_claimed_as_it_was(
    db: SqlDb, tables: Tables
) -> None:
    account = await make_account(db, tables)
    message = _message(account, _mail(_TEXT))
    assert message.size > 2 * LONGEST_STR_BYTES
    assert await db.write(tables.messages.add, [message]) == [Stored.QUEUED]
    stored = select(schema.message_payload.c.content)
    text = await db.read(lambda connection: connection.execute(stored).scalar_one())
    assert isinstance(text, str)
    assert _body(bytearray(text.encode())) == _TEXT
    (claimed,) = await _claimed(db, tables, account)
    assert _body(claimed.content) == _TEXT


async def test_a_repeated_long_message_is_a_duplicate_and_another_one_takes_its_place(
    db: SqlDb, tables: Tables
) -> None:
    account = await make_account(db, tables)
    expected = (
        (_mail(_TEXT), Stored.QUEUED),
        (_mail(_TEXT), MessageState.PENDING),
        (_mail(_TEXT, 70_000), MessageState.PENDING),  # the same text in other pieces
        (_mail("x" + _TEXT[1:]), Stored.REPLACED),  # longer by nothing but a character
        (_mail("x" + _TEXT[1:]), MessageState.PENDING),
    )
    for mail, result in expected:
        assert await db.write(tables.messages.add, [_message(account, mail)]) == [result]
    assert await db.write(tables.messages.add, [new(account, "long")]) == [Stored.REPLACED]
    twice = [_message(account, _mail(_TEXT)), _message(account, _mail(_TEXT))]
    assert await db.write(tables.messages.add, twice) == [Stored.REPLACED, MessageState.PENDING]
    (claimed,) = await _claimed(db, tables, account)
    assert _body(claimed.content) == _TEXT


async def test_the_loop_goes_on_while_a_long_body_is_stored_and_claimed(
    db: SqlDb, tables: Tables
) -> None:
    account = await make_account(db, tables)
    text = "😀\n" * 1_600_000
    pieces = dump_long_mail(_mail(text, 60_000)).pieces
    numbers = iter(range(100))

    def at_once(connection: Connection) -> None:
        whole = b"".join(pieces).decode()
        row = (uuid7(), f"at-once-{next(numbers)}", whole)
        found = "SELECT rows.pk, rows.id, length(rows.content) FROM rows"
        db.execute_rows(
            connection, found, (("pk", "uuid"), ("id", "text"), ("content", "text")), [row]
        )

    async def in_pieces() -> None:
        message = _message(account, _mail(text, 60_000), f"m{next(numbers)}")
        await db.write(tables.messages.add, [message])
        await _claimed(db, tables, account)

    whole = await shortest_of(3, lambda: db.write(at_once))
    hold = await shortest_of(5, in_pieces)
    assert hold < whole / 2, (hold, whole)
