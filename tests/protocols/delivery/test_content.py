"""What arrives is what was handed in."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest
from tests.harness.running import mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.testing.smtp_server import AcceptedMail, ScriptedSmtpServer


def parsed(accepted: AcceptedMail) -> EmailMessage:
    message = email.message_from_bytes(accepted.data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def deliver(
    config: Settings, server: ScriptedSmtpServer, record: dict[str, object]
) -> AcceptedMail:
    async with running(config()) as post:
        await post.account(server)
        await post.add(record)
        await post.reports.sent(str(record["id"]))
    (accepted,) = server.accepted
    return accepted


@pytest.mark.parametrize("blank", ["", " \r\n", None])
async def test_a_blank_body_is_no_part(
    config: Settings, server: ScriptedSmtpServer, blank: str | None
) -> None:
    text = parsed(await deliver(config, server, mail("text", body="real\n", body_html=blank)))
    assert (text.get_content_type(), text.get_content()) == ("text/plain", "real\r\n")
    server.accepted.clear()
    html = parsed(await deliver(config, server, mail("html", body=blank, body_html="<p>only\n")))
    assert (html.get_content_type(), html.get_content()) == ("text/html", "<p>only\r\n")


@pytest.mark.parametrize("return_path", ["", "<>"])
async def test_an_empty_return_path_is_the_null_one(
    config: Settings, server: ScriptedSmtpServer, return_path: str
) -> None:
    accepted = await deliver(config, server, mail(return_path=return_path))
    assert accepted.mail_from == ""


async def test_a_plain_mail_arrives_with_every_header_that_is_promised(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    record = mail(
        "order/7",
        subject="Grüße aus Zürich ✓",
        body="Zeile eins\n.\nünïcode\n",
        cc="Čeněk <cenek@example.com>, dora@example.com",
        reply_to="desk@example.org",
        headers={"X-Campaign": "März", "List-Unsubscribe": "<https://example.org/u>"},
    )
    accepted = await deliver(config, server, record)
    found = parsed(accepted)

    assert found["From"] == "Ann <ann@example.org>"
    assert found["To"] == "bob@example.net"
    assert found["Cc"] == "Čeněk <cenek@example.com>, dora@example.com"
    assert found["Reply-To"] == "desk@example.org"
    assert found["Subject"] == "Grüße aus Zürich ✓"
    assert found["X-Campaign"] == "März"
    assert found["List-Unsubscribe"] == "<https://example.org/u>"
    assert found["X-Genro-Mail-ID"] == "order/7"
    assert found["MIME-Version"] == "1.0"
    assert found["Date"].datetime.tzinfo is not None
    assert found["Message-ID"].endswith("@example.org>")
    assert found.get_content().replace("\r\n", "\n") == record["body"]
    assert accepted.mail_from == "ann@example.org"
    assert accepted.recipients == ("bob@example.net", "cenek@example.com", "dora@example.com")


async def test_the_message_id_that_was_sent_is_the_one_that_is_stored(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with running(config()) as post:
        await post.account(server)
        await post.add(mail("made"), mail("given", message_id="abc@client.example"))
        await post.reports.sent("made", "given")
        stored = {i: (await post.message(i)).message_id for i in ("made", "given")}
    sent = {parsed(a)["X-Genro-Mail-ID"]: parsed(a)["Message-ID"] for a in server.accepted}
    assert sent == stored
    assert stored["given"] == "<abc@client.example>"


async def test_html_and_its_plain_alternative_arrive_intact(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    record = mail(body="plain € text\n", body_html="<p>html € text</p>\n")
    found = parsed(await deliver(config, server, record))
    assert found.get_content_type() == "multipart/alternative"
    plain, html = (found.get_body([kind]) for kind in ("plain", "html"))
    assert plain is not None
    assert html is not None
    assert plain.get_content().replace("\r\n", "\n") == "plain € text\n"
    assert html.get_content().replace("\r\n", "\n") == "<p>html € text</p>\n"


async def test_a_mail_that_is_html_alone_is_sent_as_html(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    found = parsed(await deliver(config, server, mail(body="<b>x</b>\n", content_type="html")))
    assert found.get_content_type() == "text/html"
    assert found.get_content().strip() == "<b>x</b>"


async def test_bcc_recipients_get_the_mail_and_show_up_nowhere_in_it(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    record = mail(bcc=["Secret <secret@example.com>"], return_path="bounces@example.org")
    accepted = await deliver(config, server, record)
    assert accepted.recipients == ("bob@example.net", "secret@example.com")
    assert accepted.mail_from == "bounces@example.org"
    assert b"secret" not in accepted.data.lower()


async def test_an_address_named_twice_gets_one_copy(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    record = mail(to="bob@example.net, Bob <bob@example.net>", cc=["bob@example.net"])
    accepted = await deliver(config, server, record)
    assert accepted.recipients == ("bob@example.net",)


async def test_white_space_around_the_sender_does_not_spoil_the_message_id(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    found = parsed(await deliver(config, server, mail(**{"from": "Ann <ann@example.org>\t"})))
    assert found["Message-ID"].endswith("@example.org>")


async def test_a_sender_in_a_domain_that_is_not_ascii_has_a_message_id_of_that_domain(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    found = parsed(await deliver(config, server, mail(**{"from": "a@bücher.example"})))
    assert found["Message-ID"].endswith("@xn--bcher-kva.example>")


async def test_a_non_ascii_mailbox_at_a_server_without_smtputf8_is_an_error_that_says_so(
    config: Settings,
) -> None:
    async with ScriptedSmtpServer(smtputf8=False) as server, running(config()) as post:
        await post.account(server)
        await post.add(mail(to="jörg@example.net"))
        assert "SMTPUTF8" in await post.reports.error("m1")
    assert server.accepted == []
