"""Programs hand in messages by SMTP: log-in, envelope, options, bounds."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.harness.patience import PATIENCE_SECONDS
from tests.harness.processes import free_port
from tests.harness.running import Post, mail, running
from tests.protocols.delivery.conftest import Settings, config
from tests.protocols.rest.client import ONE_DATABASE

from mail_proxy import MailProxy
from mail_proxy.errors import ConfigError
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

__all__ = ["config"]
FROM, BOB = "app@example.org", "bob@example.net"
TEXT = "From: App <app@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: Hi\r\n\r\nHello\r\n"


@pytest.fixture
async def relay() -> AsyncIterator[ScriptedSmtpServer]:
    async with ScriptedSmtpServer() as server:
        yield server


class House:
    """A running proxy with the tenant ``acme``, and clients of its listener."""

    def __init__(self, post: Post, port: int, key: str) -> None:
        self.post = post
        self.port = port
        self.key = key

    async def use(self, work: Callable[[smtplib.SMTP], Any], *, log_in: bool = True) -> Any:
        """Run ``work`` on a thread with a new session."""

        def run() -> Any:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE_SECONDS) as session:
                session.ehlo("client.example")
                if log_in:
                    session.login("acme", self.key)
                return work(session)

        return await asyncio.to_thread(run)

    async def send(self, text: str = TEXT, to: Any = (BOB,), **options: Any) -> Any:
        """Send one mail; the refused recipients, or the error."""
        options = {"mail_options": (), **options}

        def work(session: smtplib.SMTP) -> Any:
            return session.sendmail(FROM, list(to), text.encode(), **options)

        return await self.use(work)

    async def ids(self) -> list[str]:
        from mail_proxy.operations import messages
        from mail_proxy.operations.callers import Caller
        from mail_proxy.wire.messages import MessageQuery

        door = self.post.proxy.door
        found = await door.call(messages.list_messages, Caller("acme"), MessageQuery())
        return sorted(m.id for m in found.messages)


@asynccontextmanager
async def listening(config: Settings, **changes: Any) -> AsyncIterator[House]:
    port = free_port()
    settings = {"smtp_listen": f"127.0.0.1:{port}", "helo_name": "proxy.example", **changes}
    async with running(config(**settings)) as post:
        key = await post.tenant("acme")
        assert key is not None
        yield House(post, port, key)


async def test_a_mail_is_queued_and_sent_as_it_is(
    config: Settings, relay: ScriptedSmtpServer
) -> None:
    async with listening(config) as house:
        await house.post.account(relay, tenant_id="acme")
        assert await house.send(to=[BOB, "eve@example.net"]) == {}
        (arrived,) = await relay.received(1)
        assert (arrived.mail_from, arrived.recipients) == (FROM, (BOB, "eve@example.net"))
        assert b"from client.example ([127.0.0.1])" in arrived.data
        assert b"by proxy.example with ESMTPA" in arrived.data
        parsed = message_from_bytes(arrived.data)
        assert parsed["Subject"] == "Hi"
        assert parsed["Date"]
        assert parsed["X-Genro-Mail-ID"] in await house.ids()
        assert parsed.get_payload() == "Hello\r\n"


async def test_options_in_the_header_are_obeyed_and_taken_out(
    config: Settings, relay: ScriptedSmtpServer
) -> None:
    options = (
        "X-Genro-Id: order-17\r\nx-genro-account: second\r\nX-Genro-Priority: high\r\n"
        "X-Genro-Batch:\r\n spring\r\nX-Genro-Deferred-Until: 2020-01-01T00:00:00Z\r\n"
    )
    async with listening(config) as house:
        await house.post.account(relay, "first", tenant_id="acme", is_default=True)
        await house.post.account(relay, "second", tenant_id="acme")
        await house.send(options + TEXT)
        (arrived,) = await relay.received(1)
        shown = await house.post.in_state("order-17", "sent", "acme")
        assert (shown.account_id, shown.priority, shown.batch_code) == ("second", 1, "spring")
        header = arrived.data.partition(b"\r\n\r\n")[0].lower()
        assert b"x-genro-mail-id: order-17" in header
        assert header.count(b"x-genro") == 1
        # An id that is there already gets its 250, and changes nothing.
        await house.send("X-Genro-Id: order-17\r\n" + TEXT.replace("Hello", "Other"))
        assert await house.ids() == ["order-17"]
        await house.send("X-Genro-Id: order-18\r\n" + TEXT)
        assert len(await relay.received(2)) == 2


async def test_a_waiting_message_is_not_replaced(
    config: Settings, relay: ScriptedSmtpServer
) -> None:
    later = "X-Genro-Id: later\r\nX-Genro-Deferred-Until: 4000000000\r\n"
    async with listening(config) as house:
        await house.post.account(relay, tenant_id="acme")
        await house.send(later + TEXT)
        first = await house.post.message("later", "acme")
        await house.send(later + TEXT.replace("Subject: Hi", "Subject: Changed"))
        shown = await house.post.message("later", "acme")
        assert (shown.subject, shown.pk, shown.status) == ("Hi", first.pk, "pending")


@ONE_DATABASE
@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("X-Genro-Id: a\r\nX-Genro-Id: b\r\n", 550),
        ("X-Genro-Priority: soon\r\n", 550),
        ("X-Genro-Deferred-Until: tomorrow\r\n", 550),
        ("X-Genro-Account: nobody\r\n", 550),
        (f"X-Genro-Id: {'x' * 300}\r\n", 550),
        (f"Subject: {'x' * 5000}\r\n", 550),
    ],
)
async def test_a_mail_that_cannot_be_queued_is_refused_for_good(
    config: Settings, relay: ScriptedSmtpServer, options: str, code: int
) -> None:
    async with listening(config) as house:
        await house.post.account(relay, tenant_id="acme")
        with pytest.raises(smtplib.SMTPDataError) as caught:
            await house.send(options + TEXT.replace("Subject: Hi\r\n", ""))
        assert caught.value.smtp_code == code, caught.value.smtp_error
        assert await house.ids() == []


@ONE_DATABASE
async def test_odd_contents_arrive(config: Settings, relay: ScriptedSmtpServer) -> None:
    """Dots at line starts, bare line feeds, no body, an end of data that is smuggled."""
    bodies = [".\r\n..\r\n.x\r\n", "", "a\n.\nMAIL FROM:<evil@x>\nb\r\n", "\r\n" * 5]
    async with listening(config) as house:
        await house.post.account(relay, tenant_id="acme")
        for number, body in enumerate(bodies):
            text = TEXT.replace("Hello\r\n", "") + body

            def work(session: smtplib.SMTP, text: str = text) -> None:
                session.mail(FROM)
                session.rcpt(BOB)
                assert session.docmd("DATA")[0] == 354
                stuffed = text.replace("\r\n.", "\r\n..")
                session.send(stuffed.encode() + b".\r\n")
                assert session.getreply()[0] == 250

            await house.use(work)
            arrived = (await relay.received(number + 1))[-1]
            content = arrived.data.partition(b"\r\n\r\n")[2]
            expected = body.replace("\r\n", "\n").replace("\n", "\r\n").encode()
            assert content == expected, body
        assert len(relay.accepted) == len(bodies)
        assert {m.mail_from for m in relay.accepted} == {FROM}


@ONE_DATABASE
async def test_log_in_is_the_tenant_and_its_key(
    config: Settings, relay: ScriptedSmtpServer
) -> None:
    async with listening(config) as house:
        await house.post.account(relay, tenant_id="acme")
        other = await house.post.tenant("other")

        def attempts(session: smtplib.SMTP) -> list[int]:
            codes = [session.mail(FROM)[0]]
            for user, key in (("acme", other), ("acme", "the-admin-token")):
                secret = base64.b64encode(f"\0{user}\0{key}".encode()).decode()
                codes.append(session.docmd("AUTH", f"PLAIN {secret}")[0])
            codes.append(session.docmd("AUTH", "PLAIN !!!")[0])
            return codes

        assert await house.use(attempts, log_in=False) == [530, 535, 535, 501]

        def by_login(session: smtplib.SMTP) -> int:
            assert session.docmd("AUTH", "LOGIN")[0] == 334
            assert session.docmd(base64.b64encode(b"acme").decode())[0] == 334
            return session.docmd(base64.b64encode(house.key.encode()).decode())[0]

        assert await house.use(by_login, log_in=False) == 235

        def three(session: smtplib.SMTP) -> list[int]:
            secret = base64.b64encode(b"\0acme\0wrong").decode()
            return [session.docmd("AUTH", f"PLAIN {secret}")[0] for _ in range(3)]

        assert await house.use(three, log_in=False) == [535, 535, 421]

        def outlived(session: smtplib.SMTP) -> Any:
            from mail_proxy.operations import tenants
            from mail_proxy.operations.callers import Caller
            from mail_proxy.wire.tenants import TenantRef

            door = house.post.proxy.door
            revoked = door.call(tenants.revoke_key, Caller(None), TenantRef(id="acme"))
            asyncio.run_coroutine_threadsafe(revoked, loop).result()
            session.mail(FROM)
            session.rcpt(BOB)
            return session.data(TEXT.encode())[0]

        loop = asyncio.get_running_loop()
        assert await house.use(outlived) == 535
        assert relay.accepted == []


@ONE_DATABASE
async def test_bounds_of_a_mail_and_its_envelope(
    config: Settings, relay: ScriptedSmtpServer
) -> None:
    async with listening(config, smtp_max_mb=0.1) as house:
        await house.post.account(relay, tenant_id="acme")

        def work(session: smtplib.SMTP) -> None:
            assert session.esmtp_features["size"] == "100000"
            assert session.mail(FROM, ["SIZE=100001"])[0] == 552
            session.mail(FROM)
            assert session.rcpt("no address")[0] in (501, 553)
            codes = [session.rcpt(f"u{i}@example.net")[0] for i in range(1002)]
            assert codes == [250] * 1000 + [452] * 2
            assert session.data((TEXT + "x" * 99 + "\r\n").encode() * 2000)[0] == 552
            # The session goes on.
            session.mail("")
            session.rcpt(BOB)
            assert session.data(TEXT.encode())[0] == 250

        await house.use(work)
        (arrived,) = await relay.received(1)
        assert (arrived.mail_from, arrived.recipients) == ("", (BOB,))


@ONE_DATABASE
async def test_what_is_sent_before_the_answer_ends_the_session(
    config: Settings, relay: ScriptedSmtpServer
) -> None:
    async with listening(config) as house:
        await house.post.account(relay, tenant_id="acme")

        def work(session: smtplib.SMTP) -> tuple[int, bytes]:
            session.mail(FROM)
            session.rcpt(BOB)
            session.docmd("DATA")
            session.send(TEXT.encode() + b".\r\nMAIL FROM:<evil@example.org>\r\n")
            code, _ = session.getreply()
            assert session.sock is not None
            return code, session.sock.recv(100)

        assert await house.use(work) == (250, b"")


@ONE_DATABASE
async def test_starttls_is_offered_and_log_ins_work_under_it(
    config: Settings, relay: ScriptedSmtpServer, authority: trustme.CA, tmp_path: Path
) -> None:
    issued = authority.issue_cert("127.0.0.1")
    chain = tmp_path / "chain.pem"
    chain.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
    async with listening(config, smtp_tls_cert=chain) as house:
        await house.post.account(relay, tenant_id="acme")
        context = ssl.create_default_context()
        authority.configure_trust(context)

        def work(session: smtplib.SMTP) -> None:
            session.starttls(context=context)
            session.ehlo("client.example")
            session.login("acme", house.key)
            session.sendmail(FROM, [BOB], (TEXT + "x" * 900 + "\r\n").encode() * 20)

        await house.use(work, log_in=False)
        (arrived,) = await relay.received(1)
        assert b"with ESMTPSA" in arrived.data


@ONE_DATABASE
async def test_a_listener_off_loopback_needs_a_certificate(
    config: Settings, tmp_path: Path
) -> None:
    for changes in (
        {"smtp_listen": "0.0.0.0:0"},
        {"smtp_listen": "127.0.0.1:0", "smtp_tls_cert": tmp_path / "none.pem"},
    ):
        with pytest.raises(ConfigError, match="smtp_"):
            await MailProxy.create(config(**changes))
    with pytest.raises(ValueError, match="smtp_listen"):
        config(smtp_listen="here")


@ONE_DATABASE
async def test_one_address_and_one_tenant_leave_room_for_others(
    config: Settings, relay: ScriptedSmtpServer
) -> None:
    """A tenant that holds the memory of its share waits; another tenant's mail is taken."""
    async with listening(config, smtp_max_mb=4, concurrency={"max_bodies_mb": 64}) as house:
        await house.post.account(relay, tenant_id="acme")
        key = await house.post.tenant("other")
        await house.post.account(relay, tenant_id="other")
        holding = asyncio.Event()
        loop = asyncio.get_running_loop()
        release = asyncio.Event()

        def hold(session: smtplib.SMTP) -> int:
            session.mail(FROM)
            session.rcpt(BOB)
            assert session.docmd("DATA")[0] == 354
            loop.call_soon_threadsafe(holding.set)
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
            session.send(TEXT.encode() + b".\r\n")
            return session.getreply()[0]

        first = asyncio.create_task(house.use(hold))
        await holding.wait()
        second = asyncio.create_task(house.send())
        third = House(house.post, house.port, str(key))

        def as_other(session: smtplib.SMTP) -> Any:
            session.login("other", third.key)
            return session.sendmail(FROM, [BOB], TEXT.encode())

        assert await third.use(as_other, log_in=False) == {}
        assert not second.done()
        release.set()
        assert await first == 250
        assert await second == {}
        assert len(await relay.received(3)) == 3


@ONE_DATABASE
async def test_rest_and_smtp_fill_the_same_queue(
    config: Settings, relay: ScriptedSmtpServer
) -> None:
    async with listening(config) as house:
        await house.post.account(relay, tenant_id="acme")
        await house.post.add(mail("one", tenant_id="acme"))
        await house.send("X-Genro-Id: one\r\n" + TEXT)
        assert await house.ids() == ["one"]
