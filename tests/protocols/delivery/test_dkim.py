"""Mails of domains with DKIM keys arrive signed, and dkimpy accepts every signature."""

from __future__ import annotations

from typing import Any

import dkim
import pytest
from tests.harness.running import Post, mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.features.dkim import operations
from mail_proxy.operations.callers import Caller
from mail_proxy.sql import SqlDb
from mail_proxy.testing.smtp_server import AcceptedMail, ScriptedSmtpServer
from mail_proxy.wire.dkim import DkimKeyIn, DkimKeyRef, DkimKeySaved

RSA, ED = "rsa-sha256", "ed25519-sha256"
_ADMIN = Caller(None)


async def add_key(post: Post, algorithm: str, domain: str = "example.org") -> DkimKeySaved:
    request = DkimKeyIn.model_validate({"domain": domain, "algorithm": algorithm})
    return await post.proxy.door.call(operations.create, _ADMIN, request)


def signatures(accepted: AcceptedMail) -> int:
    head = accepted.data.partition(b"\r\n\r\n")[0]
    return head.count(b"DKIM-Signature:")


def valid(accepted: AcceptedMail, *keys: DkimKeySaved) -> int:
    """How many signatures are valid, with a DNS that publishes these keys."""
    records = {key.dns.name: key.dns.value.encode() for key in keys}

    def answer(name: bytes, timeout: float = 5) -> bytes:
        return records.get(name.decode().rstrip("."), b"")

    parsed = dkim.DKIM(accepted.data)
    return sum(bool(parsed.verify(i, dnsfunc=answer)) for i in range(signatures(accepted)))


@pytest.mark.parametrize("workers", [0, 1])
async def test_a_mail_is_signed_with_each_key_of_its_from_domain(
    config: Settings, server: ScriptedSmtpServer, workers: int
) -> None:
    async with running(config(concurrency={"workers": workers})) as post:
        await post.account(server)
        await post.add(mail("before"))
        await post.reports.sent("before")
        keys = [await add_key(post, RSA), await add_key(post, ED)]
        await add_key(post, ED, "example.net")
        await post.add(mail("both", subject="Grüße", body="ünï\n\n \n.\n", body_html="<p>x</p>"))
        await post.reports.sent("both")
        ref = DkimKeyRef(domain="example.org", selector="gmp1")
        await post.proxy.door.call(operations.delete, _ADMIN, ref)
        await post.add(mail("after"), mail("other", **{"from": "ann@example.com"}))
        await post.reports.sent("after", "other")
    found = {
        m.data.partition(b"X-Genro-Mail-ID: ")[2].split(b"\r\n")[0]: m for m in server.accepted
    }
    counts = {name.decode(): (signatures(m), valid(m, *keys)) for name, m in found.items()}
    assert counts == {"before": (0, 0), "both": (2, 2), "after": (1, 1), "other": (0, 0)}


async def test_an_account_can_leave_mails_unsigned(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with running(config()) as post:
        await add_key(post, ED)
        await post.account(server, dkim=False)
        await post.add(mail("m1"))
        await post.reports.sent("m1")
        await post.account(server, dkim=None)
        await post.add(mail("m2"))
        await post.reports.sent("m2")
    assert [signatures(accepted) for accepted in server.accepted] == [0, 1]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_large_mails_are_signed_too(config: Settings, server: ScriptedSmtpServer) -> None:
    body = "Hello  there \n" * 100_000
    async with running(config()) as post:
        key = await add_key(post, RSA)
        await post.account(server)
        await post.add(mail("m1", body=body))
        await post.reports.sent("m1")
    assert valid(server.accepted[0], key) == 1


async def test_keys_of_another_tenant_sign_nothing(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with running(config()) as post:
        await post.tenant("t")
        request = DkimKeyIn.model_validate({"domain": "example.org", "algorithm": ED})
        await post.proxy.door.call(operations.create, _ADMIN, request, "t")
        await post.account(server, tenant_id="default")
        await post.add(mail("m1", tenant_id="default"))
        await post.reports.sent("m1")
    assert signatures(server.accepted[0]) == 0


async def test_a_mail_whose_key_cannot_be_decrypted_waits(
    config: Settings, server: ScriptedSmtpServer, db: SqlDb
) -> None:
    async with running(config()) as post:
        await add_key(post, ED)
        await post.account(server)
    damage: Any = "UPDATE dkim_key SET private_key = 'ENC:AAAA'"
    await db.write(lambda c: c.exec_driver_sql(damage).rowcount)
    async with running(config()) as post:
        await post.add(mail("m1"))
        waiting = await post.in_state("m1", "deferred")
    assert server.accepted == []
    assert "DKIM key" in str(waiting)
