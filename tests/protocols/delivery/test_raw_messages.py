"""Raw messages arrive octet by octet."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import dkim
import pytest
from tests.harness.dkim_mails import DOMAIN, count_valid, dns_answer, private_keys, sign
from tests.harness.raw_messages import PLAIN, multipart_signed, raw_mail, with_attachment, without
from tests.harness.running import Post, mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.features.dkim import operations
from mail_proxy.operations.callers import Caller
from mail_proxy.testing.smtp_server import AcceptedMail, ScriptedSmtpServer
from mail_proxy.wire.dkim import DkimKeyIn

ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
EACH_WAY = pytest.mark.parametrize("chunking", [False, True])


async def deliver(
    config: Settings, server: ScriptedSmtpServer, record: dict[str, Any]
) -> AcceptedMail:
    async with running(config()) as post:
        await post.account(server)
        await post.add(record)
        await post.reports.sent(str(record["id"]))
    (accepted,) = server.accepted
    return accepted


async def delivered(config: Settings, octets: bytes, **fields: Any) -> bytes:
    async with ScriptedSmtpServer() as server:
        return (await deliver(config, server, raw_mail(octets, **fields))).data


def added(octets: bytes, data: bytes) -> list[bytes]:
    """The lines that stand behind the header that was handed in; the rest is unchanged."""
    head, _, body = octets.partition(b"\r\n\r\n")
    assert data.startswith(head + b"\r\n")
    assert data.endswith(b"\r\n\r\n" + body)
    return data[len(head) + 2 : len(data) - len(body) - 4].split(b"\r\n")


async def test_a_whole_message_arrives_as_it_was_handed_in(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    accepted = await deliver(config, server, raw_mail())
    assert accepted.data == PLAIN
    assert accepted.mail_from == "ann@example.org"
    assert accepted.recipients == ("bob@example.net",)


@EACH_WAY
@pytest.mark.parametrize("workers", [0, 1])
async def test_signed_parts_keep_every_octet(
    config: Settings, chunking: bool, workers: int
) -> None:
    octets, part = multipart_signed()
    async with ScriptedSmtpServer(chunking=chunking) as server:
        async with running(config(concurrency={"workers": workers})) as post:
            await post.account(server)
            await post.add(mail("before"))
            await post.reports.sent("before")
            await post.add(raw_mail(octets, "raw"))
            await post.reports.sent("raw")
            shown = await post.message("raw")
        data = server.accepted[-1].data
    lines = added(octets, data)
    assert [line.partition(b":")[0] for line in lines] == [
        *(b"Date", b"Message-ID", b"X-Genro-Mail-ID")
    ]
    assert data.count(b"--=_b\r\n" + part + b"\r\n--=_b\r\n") == 1
    assert (shown.subject, shown.sender, shown.to) == (
        *("Grüße  und mehr", "Ann <ann@example.org>", ["bob@example.net"]),
    )
    assert shown.message_id.encode() == lines[1].partition(b": ")[2]


async def test_fields_that_are_there_are_not_added(config: Settings) -> None:
    for name in (b"date", b"message-id", b"x-genro-mail-id"):
        octets = without(PLAIN, name)
        async with ScriptedSmtpServer() as server:
            data = (await deliver(config, server, raw_mail(octets, name.decode()))).data
        (line,) = added(octets, data)
        assert line.lower().startswith(name + b":")


async def test_blind_recipients_and_the_return_path_are_taken_out(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    hidden = (
        b"bcc: Carl\r\n\t<carl@example.com>,\r\n dora@example.com\r\n",
        b"Return-Path: <old@example.com>\r\n",
        b"BCC:\r\n (nobody)\r\n",
        b"Resent-Bcc: eve@example.com\r\n",
    )
    head, _, body = PLAIN.partition(b"\r\n\r\n")
    first, *rest = head.split(b"\r\n")
    lines = [hidden[0], first + b"\r\n", hidden[1], *(line + b"\r\n" for line in rest), *hidden[2:]]
    octets = b"".join((*lines, b"\r\n", body))
    record = raw_mail(octets, to=["bob@example.net", "carl@example.com"])
    accepted = await deliver(config, server, record)
    assert accepted.data == PLAIN
    assert accepted.recipients == ("bob@example.net", "carl@example.com")


async def test_the_header_gives_the_envelope(config: Settings, server: ScriptedSmtpServer) -> None:
    octets = (
        b'From: "Ann, B." <ann@example.org>, Zoe <zoe@example.org>\r\n'
        b"Sender: =?utf-8?q?J=C3=B6rg?= (the office)\r\n <desk@b\xc3\xbccher.example>\r\n"
        b'To: Friends: bob@example.net, "x, y" <xy@example.net>;,\r\n undisclosed:;\r\n'
        b"Cc: (why) carl @ example . net\r\n"
        b"Bcc: dora@example.net\r\n"
        b"Message-ID: <given@example.org>\r\nX-Genro-Mail-ID: 1\r\nDate: x\r\n\r\n"
    )
    accepted = await deliver(config, server, raw_mail(octets))
    assert accepted.mail_from == "desk@xn--bcher-kva.example"
    assert accepted.recipients == (
        *("bob@example.net", "xy@example.net", "carl@example.net", "dora@example.net"),
    )
    assert "SMTPUTF8" in accepted.parameters
    assert accepted.data == octets.replace(b"Bcc: dora@example.net\r\n", b"")


async def test_the_request_gives_the_envelope(config: Settings) -> None:
    fields: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
        ({"from": "Box <box@example.com>"}, "box@example.com", ("bob@example.net",)),
        ({"return_path": "<>", "from": "a@b.example"}, "", ("bob@example.net",)),
        ({"cc": "c@example.com"}, "ann@example.org", ("c@example.com",)),
        (
            {"to": ["c@example.com"], "bcc": ["d@example.com"]},
            *("ann@example.org", ("c@example.com", "d@example.com")),
        ),
    ]
    for number, (given, sender, recipients) in enumerate(fields):
        async with ScriptedSmtpServer() as server:
            accepted = await deliver(config, server, raw_mail(id_=f"m{number}", **given))
        assert (accepted.mail_from, accepted.recipients) == (sender, recipients)
        assert accepted.data == PLAIN


@pytest.mark.parametrize("line_end", [b"\n", b"\r"])
async def test_line_ends_become_crlf(config: Settings, line_end: bytes) -> None:
    octets = PLAIN.replace(b"\r\n", line_end)
    assert await delivered(config, octets) == PLAIN
    assert await delivered(config, octets[:-1], id_="m2") == PLAIN


async def test_eight_bit_octets_and_long_lines_arrive(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    octets = PLAIN.replace(b"Hello Bob", bytes(range(128, 256)) + b"\x01" + b"x" * 3000)
    accepted = await deliver(config, server, raw_mail(octets))
    assert accepted.data == octets
    assert "BODY=8BITMIME" in accepted.parameters
    assert "SMTPUTF8" not in accepted.parameters


async def test_servers_that_cannot_take_a_message_get_none(config: Settings) -> None:
    body = PLAIN.replace(b"Bob", b"J\xf6rg")
    header = PLAIN.replace(b"About", "Über".encode())
    async with ScriptedSmtpServer(eight_bit=False, smtputf8=False) as server:
        async with running(config()) as post:
            await post.account(server)
            await post.add(raw_mail(body, "body"), raw_mail(header, "header"))
            assert "8BITMIME" in await post.reports.error("body")
            assert "SMTPUTF8" in await post.reports.error("header")
    assert server.accepted == []


@ONE_DATABASE
async def test_a_large_message_arrives(config: Settings, server: ScriptedSmtpServer) -> None:
    octets = with_attachment(8_000_000)
    for id_, body in (("ascii", octets), ("8bit", octets + b"\xff\r\n")):
        server.accepted.clear()
        data = (await deliver(config, server, raw_mail(body, id_))).data
        assert len(added(body, data)) == 3


async def add_key(post: Post) -> None:
    for algorithm, selector in (("rsa-sha256", "rsa"), ("ed25519-sha256", "ed")):
        request = DkimKeyIn.model_validate(
            {
                "domain": DOMAIN,
                "selector": selector,
                "algorithm": algorithm,
                "private_key": private_keys()[selector],
            }
        )
        await post.proxy.door.call(operations.create, Caller(None), request)


async def test_signatures_inside_stay_valid_and_alone(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    octets, _ = multipart_signed()
    own = sign(octets)
    other = own.replace(b"d=example.org", b"d=example.com")
    async with running(config()) as post:
        await add_key(post)
        await post.account(server)
        await post.add(raw_mail(own, "own", to=["a@example.net"]))
        await post.reports.sent("own")
        await post.add(raw_mail(other, "other", to=["b@example.net"]))
        await post.add(raw_mail(octets, "none", to=["c@example.net"]))
        await post.reports.sent("other", "none")
    by_recipient = {accepted.recipients[0][0]: accepted.data for accepted in server.accepted}
    assert added(own, by_recipient["a"])
    assert count_valid(by_recipient["a"], 2) == 2
    assert by_recipient["b"].count(b"DKIM-Signature:") == 4
    assert count_valid(by_recipient["b"], 2) == 2
    assert added(other, by_recipient["b"][by_recipient["b"].index(other[:100]) :])
    assert by_recipient["c"].count(b"DKIM-Signature:") == 2
    assert count_valid(by_recipient["c"], 2) == 2


async def test_signatures_of_another_program_stay_valid(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    octets, _ = multipart_signed()
    for canonical in (b"simple", b"relaxed"):
        signature = dkim.sign(
            octets,
            *(b"rsa", DOMAIN.encode(), private_keys()["rsa"].encode()),
            canonicalize=(canonical, canonical),
        )
        accepted = await deliver(config, server, raw_mail(signature + octets, canonical.decode()))
        server.accepted.clear()
        assert added(signature + octets, accepted.data)
        assert dkim.verify(accepted.data, dnsfunc=dns_answer)


async def test_attempts_carry_the_same_octets(config: Settings, server: ScriptedSmtpServer) -> None:
    octets = without(PLAIN, b"date", b"message-id", b"x-genro")
    server.on("end of data", "451 4.3.0 later", times=1)
    async with running(config(retry={"retry_delays": (0.01,)})) as post:
        await post.account(server)
        await post.add(raw_mail(octets, deferred_ts=1_000_000_000))
        await post.reports.sent("m1")
        shown = await post.message("m1")
    parsed = email.message_from_bytes(server.accepted[0].data, policy=email.policy.default)
    assert int(parsed["Date"].datetime.timestamp()) == shown.created_ts
    assert parsed["Message-ID"] == shown.message_id
    assert parsed["X-Genro-Mail-ID"] == "m1"
