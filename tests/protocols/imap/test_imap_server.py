"""The IMAP server for tests, with the client of the service and with other clients."""

from __future__ import annotations

import asyncio
import imaplib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from tests.harness.patience import PATIENCE_SECONDS

from mail_proxy.domain.account import TlsMode
from mail_proxy.imap import IMAPClient, ImapLogin, ImapTrouble
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.testing.imap_server import ImapServer

FIRST, SECOND = b"Subject: one\r\n\r\nfirst\r\n", b"Subject: two\r\n\r\nsecond\r\n"
USER, PASSWORD = "bounces@example.org", 'a "secret" of the mailbox\\'


@asynccontextmanager
async def opened(
    server: ImapServer, tls: TlsMode = TlsMode.NONE, password: str = PASSWORD
) -> AsyncIterator[IMAPClient]:
    login = ImapLogin(server.host, server.port, USER, password, tls, verify_cert=False)
    client = IMAPClient(login, NetworkGuard(), seconds=PATIENCE_SECONDS)
    try:
        await client.open()
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("tls", [TlsMode.NONE, TlsMode.STARTTLS, TlsMode.SSL])
async def test_mails_are_read_in_every_tls_mode_and_stay_unseen(
    tls: TlsMode, server_tls: ssl.SSLContext
) -> None:
    context = None if tls is TlsMode.NONE else server_tls
    async with ImapServer(
        {USER: PASSWORD}, tls_context=context, implicit_tls=tls is TlsMode.SSL
    ) as server:
        assert [server.append(USER, mail) for mail in (FIRST, SECOND)] == [1, 2]
        async with opened(server, tls) as client:
            mailbox = await client.select("INBOX")
            assert (mailbox.exists, mailbox.uidnext) == (2, 3)
            assert await client.uids(0, mailbox.uidnext) == [1, 2]
            fetched = [await client.fetch(uid) for uid in (1, 2)]
            assert [mail.octets for mail in fetched if mail] == [FIRST, SECOND]
            assert await client.fetch(77) is None
        assert [mail.flags for mail in server.mails(USER)] == [set(), set()]


async def test_mails_are_marked_moved_and_deleted_by_their_uid() -> None:
    async with ImapServer({USER: PASSWORD}) as server:
        for mail in (FIRST, SECOND, FIRST, SECOND):
            server.append(USER, mail)
        async with opened(server) as client:
            await client.select("INBOX")
            await client.mark_seen([1])
            await client.move([2], "Done")
            await client.delete([3])
        assert [(mail.uid, mail.flags) for mail in server.mails(USER)] == [
            (1, {"\\Seen"}),
            (4, set()),
        ]
        assert [mail.octets for mail in server.mails(USER, "Done")] == [SECOND]


async def test_a_wrong_password_is_refused() -> None:
    async with ImapServer({USER: PASSWORD}) as server:
        with pytest.raises(ImapTrouble, match="Authentication failed") as caught:
            async with opened(server, password="wrong"):
                pass
    assert caught.value.stage == "login"


async def test_waiting_ends_when_a_mail_arrives() -> None:
    async with ImapServer({USER: PASSWORD}) as server, opened(server) as client:
        await client.select("INBOX")
        waiting = asyncio.create_task(client.wait(PATIENCE_SECONDS))
        # Until the server knows of the wait, a mail ends the next wait only.
        while not waiting.done():
            server.append(USER, FIRST)
            await asyncio.wait([waiting], timeout=1)
        await waiting


async def test_a_folder_made_again_has_another_uidvalidity() -> None:
    async with ImapServer({USER: PASSWORD}) as server, opened(server) as client:
        server.append(USER, FIRST)
        before = await client.select("INBOX")
        server.recreate(USER)
        after = await client.select("INBOX")
    assert before.uidvalidity != after.uidvalidity
    assert after.exists == 0


async def test_cut_connections_are_noticed_by_the_client() -> None:
    async with ImapServer({USER: PASSWORD}) as server, opened(server) as client:
        await client.select("INBOX")
        server.drop_connections()
        with pytest.raises(ImapTrouble):
            await client.select("INBOX")
        async with opened(server) as again:
            await again.select("INBOX")
        assert server.connections == 2


async def on_thread(server: ImapServer, work: Callable[[imaplib.IMAP4], object]) -> None:
    """Run ``work`` with the IMAP client of Python's standard library."""

    def run() -> None:
        with imaplib.IMAP4(server.host, server.port, timeout=PATIENCE_SECONDS) as session:
            session.login(USER, PASSWORD)
            work(session)

    await asyncio.to_thread(run)


async def test_other_clients_append_search_and_fetch() -> None:
    def work(session: imaplib.IMAP4) -> None:
        assert session.append("INBOX", r"(\Flagged)", "", FIRST)[0] == "OK"
        assert session.append("Missing", "", "", FIRST)[0] == "NO"
        assert session.select("INBOX") == ("OK", [b"1"])
        assert session.append("INBOX", "", "", SECOND)[0] == "OK"
        assert session.noop()[0] == "OK"
        assert session.search(None, "UNFLAGGED") == ("OK", [b"2"])
        assert session.search(None, "HEADER", "Subject", '"ONE"') == ("OK", [b"1"])
        assert session.search(None, "NOT", "UID", "1") == ("OK", [b"2"])
        _, answer = session.fetch("2", "(FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (Subject)])")
        assert answer[0][1] == b"Subject: two\r\n\r\n"
        assert b"RFC822.SIZE %d" % len(SECOND) in answer[0][0]
        _, answer = session.fetch("1", "(RFC822)")
        assert answer[0][1] == FIRST
        assert b"\\Seen" in session.fetch("1", "(FLAGS)")[1][0]
        assert session.status("INBOX", "(MESSAGES UNSEEN)")[1] == [b'"INBOX" (MESSAGES 2 UNSEEN 1)']

    async with ImapServer({USER: PASSWORD}) as server:
        await on_thread(server, work)
        assert [mail.octets for mail in server.mails(USER)] == [FIRST, SECOND]


async def test_commands_it_does_not_know_are_bad_and_the_session_goes_on() -> None:
    def work(session: imaplib.IMAP4) -> None:
        session.select("INBOX")
        for bad in (
            lambda: session.fetch("1", "(ENVELOPE)"),
            lambda: session.fetch("x", "(FLAGS)"),
            lambda: session.search(None, "(OPEN"),
            lambda: session.search(None, "LARGER", "1"),
            lambda: session.uid("FETCH"),
        ):
            with pytest.raises(imaplib.IMAP4.error, match="BAD"):
                bad()
        assert session.noop()[0] == "OK"

    async with ImapServer({USER: PASSWORD}) as server:
        server.append(USER, FIRST)
        await on_thread(server, work)


async def test_small_mails_are_read_together_and_long_ones_alone() -> None:
    long = b"Subject: long\r\n\r\n" + b"x" * 4_000_000
    async with ImapServer({USER: PASSWORD}) as server, opened(server) as client:
        for mail in (FIRST, SECOND, long, FIRST):
            server.append(USER, mail)
        await client.select("INBOX")
        await client.read_ahead([1, 2, 3, 4, 99])
        server.recreate(USER)
        fetched = [await client.fetch(uid) for uid in (1, 2)]
        assert [mail.octets for mail in fetched if mail] == [FIRST, SECOND]
        server.append(USER, long)
        await client.select("INBOX")
        assert await client.fetch(3) is None
        assert await client.fetch(2) is None
        alone = await client.fetch(1)
        assert alone is not None
        assert alone.octets == long


async def test_of_many_mails_the_first_uids_are_enough() -> None:
    async with ImapServer({USER: PASSWORD}) as server, opened(server) as client:
        for _ in range(5_000):
            server.append(USER, FIRST)
        mailbox = await client.select("INBOX")
        found = await client.uids(0, mailbox.uidnext)
        assert 1_000 < len(found) < 5_000
        assert found == list(range(1, len(found) + 1))
        assert await client.uids(4_998, mailbox.uidnext) == [4_999, 5_000]
