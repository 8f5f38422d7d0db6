"""The IMAP client against Dovecot, and against servers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from tests.harness.imap_server import PASSWORD, Dovecot
from tests.harness.patience import PATIENCE_SECONDS

from mail_proxy.domain.account import TlsMode
from mail_proxy.imap import IMAPClient, ImapLogin, ImapTrouble
from mail_proxy.network.guard import NetworkGuard

GUARD = NetworkGuard()
_CAPABLE = b"* CAPABILITY IMAP4rev1\r\nTAG OK done\r\n"
FIRST, SECOND = b"Subject: one\r\n\r\nfirst\r\n", b"Subject: two\r\n\r\nsecond\r\n"


@pytest.fixture
def user() -> str:
    return f"user-{uuid4().hex[:12]}"


@asynccontextmanager
async def opened(login: ImapLogin, **options: float) -> AsyncIterator[IMAPClient]:
    client = IMAPClient(login, GUARD, **{"seconds": PATIENCE_SECONDS, **options})
    try:
        await client.open()
        yield client
    finally:
        await client.close()


def plain(dovecot: Dovecot, user: str) -> ImapLogin:
    return ImapLogin("127.0.0.1", dovecot.port, user, PASSWORD, TlsMode.NONE)


@pytest.mark.parametrize("tls", [TlsMode.NONE, TlsMode.STARTTLS, TlsMode.SSL, TlsMode.AUTO])
async def test_messages_are_read_in_every_tls_mode_and_stay_unseen(
    dovecot: Dovecot, user: str, tls: TlsMode
) -> None:
    dovecot.append(user, FIRST, SECOND)
    port = dovecot.tls_port if tls is TlsMode.SSL else dovecot.port
    login = ImapLogin("127.0.0.1", port, user, PASSWORD, tls, verify_cert=False)
    async with opened(login) as client:
        mailbox = await client.select("INBOX")
        assert (mailbox.exists, mailbox.uidnext) == (2, 3)
        uids = await client.uids(0, mailbox.uidnext)
        assert uids == [1, 2]
        messages = [await client.fetch(uid) for uid in uids]
        assert [message.octets for message in messages if message] == [FIRST, SECOND]
        assert await client.uids(2, mailbox.uidnext) == []
        assert await client.fetch(77) is None
    assert dovecot.flags(user) == {1: b"", 2: b""}


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    dovecot: Dovecot, user: str
) -> None:
    login = ImapLogin("127.0.0.1", dovecot.tls_port, user, PASSWORD, TlsMode.SSL)
    with pytest.raises(ImapTrouble, match="certificate verify failed") as caught:
        async with opened(login):
            pass
    assert caught.value.stage == "tls"


async def test_messages_are_marked_moved_and_deleted_by_their_uid(
    dovecot: Dovecot, user: str
) -> None:
    dovecot.append(user, FIRST, SECOND, FIRST, SECOND)
    async with opened(plain(dovecot, user)) as client:
        await client.select("INBOX")
        await client.mark_seen([1])
        await client.move([2], "Done")
        await client.delete([3])
    assert dovecot.flags(user) == {1: b"\\Seen", 4: b""}
    assert dovecot.flags(user, "Done") == {1: b""}


async def test_a_wrong_password_is_told_in_the_servers_words_without_it(
    dovecot: Dovecot, user: str
) -> None:
    login = ImapLogin("127.0.0.1", dovecot.port, user, "wrong-password", TlsMode.NONE)
    with pytest.raises(ImapTrouble, match=r"(?i)authentication failed") as caught:
        async with opened(login):
            pass
    assert caught.value.stage == "login"
    assert "wrong-password" not in str(caught.value)


async def test_waiting_ends_when_a_message_arrives(dovecot: Dovecot, user: str) -> None:
    dovecot.append(user, FIRST)
    async with opened(plain(dovecot, user)) as client:
        await client.select("INBOX")
        waiting = asyncio.create_task(client.wait(PATIENCE_SECONDS))
        # Until the server knows of the wait, a message ends the next wait only.
        while not waiting.done():
            await asyncio.to_thread(dovecot.append, user, SECOND)
            await asyncio.wait([waiting], timeout=1)
        await waiting
        mailbox = await client.select("INBOX")
        assert mailbox.exists >= 2


async def test_closing_ends_a_wait_at_once(dovecot: Dovecot, user: str) -> None:
    async with opened(plain(dovecot, user)) as client:
        await client.select("INBOX")
        waiting = asyncio.create_task(client.wait(100 * PATIENCE_SECONDS))
        await asyncio.sleep(0)
        await client.close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises((ImapTrouble, asyncio.CancelledError)):
                await waiting


async def test_a_recreated_folder_has_another_uidvalidity(dovecot: Dovecot, user: str) -> None:
    dovecot.append(user, FIRST, folder="Bounces")
    async with opened(plain(dovecot, user)) as client:
        before = await client.select("Bounces")
        dovecot.recreate(user, "Bounces", [SECOND])
        after = await client.select("Bounces")
    assert before.uidvalidity != after.uidvalidity
    assert after.exists == 1


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], "asyncio.Future[None]"]


@asynccontextmanager
async def hostile(greeting: bytes, *answers: bytes) -> AsyncIterator[ImapLogin]:
    """A server that sends each of these after a line of the client, then waits."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        for answer in answers:
            tag = (await reader.readline()).split(b" ")[0]
            writer.write(answer.replace(b"TAG", tag))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield ImapLogin("127.0.0.1", port, "user", "a-password", TlsMode.NONE)


@pytest.mark.parametrize(
    ("greeting", "answers", "stage"),
    [
        (b"220 mail.example ESMTP\r\n", (), "connect"),
        (b"* BYE too many connections\r\n", (), "connect"),
        (b"* OK " + b"x" * 2_000_000 + b"\r\n", (), "connect"),
        (b"* OK {900000000}\r\n", (), "connect"),
        (b"* OK hi\r\n", (_CAPABLE, b"TAG NO \xff a-password is wrong\r\n"), "login"),
        (b"", (), "connect"),
    ],
    ids=["smtp", "bye", "long line", "long literal", "no", "silent"],
)
async def test_a_server_that_is_none_is_trouble_and_costs_little(
    greeting: bytes, answers: tuple[bytes, ...], stage: str
) -> None:
    async with hostile(greeting, *answers) as login:
        with pytest.raises(ImapTrouble) as caught:
            async with opened(login, seconds=1.0 if not greeting else PATIENCE_SECONDS):
                pass
    assert caught.value.stage == stage
    assert len(caught.value.reason) <= 500
    assert "a-password" not in str(caught.value)


async def test_a_host_outside_the_permitted_networks_is_not_connected_to() -> None:
    login = ImapLogin("10.1.2.3", 143, "user", PASSWORD, TlsMode.NONE)
    with pytest.raises(ImapTrouble, match="no public address") as caught:
        async with opened(login):
            pass
    assert caught.value.stage == "connect"


async def test_news_that_come_with_the_continuation_end_a_wait() -> None:
    """A mail that arrives just before IDLE is told in the same packet as its continuation."""
    answers = {
        b"CAPABILITY": b"* CAPABILITY IMAP4rev1 IDLE\r\nTAG OK done\r\n",
        b"LOGIN": b"TAG OK logged in\r\n",
        b"SELECT": b"* 0 EXISTS\r\n* OK [UIDVALIDITY 1]\r\n* OK [UIDNEXT 1]\r\nTAG OK done\r\n",
        b"IDLE": b"+ idling\r\n* 1 EXISTS\r\n",
    }

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hi\r\n")
        tag = b""
        while line := await reader.readline():
            words = line.split()
            if words == [b"DONE"]:
                writer.write(tag + b" OK done\r\n")
                continue
            tag = words[0]
            writer.write(answers[words[1]].replace(b"TAG", tag))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        login = ImapLogin("127.0.0.1", port, "user", "a-password", TlsMode.NONE)
        async with opened(login) as client:
            await client.select("INBOX")
            async with asyncio.timeout(PATIENCE_SECONDS):
                await client.wait(100 * PATIENCE_SECONDS)
