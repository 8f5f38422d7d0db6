"""A stored secret that cannot be opened is the trouble of its owner alone."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from sqlalchemy import text
from standardwebhooks import WebhookVerificationError
from tests.harness.patience import PATIENCE_SECONDS
from tests.harness.running import KEY, Post, mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy import MailProxy
from mail_proxy.errors import EncryptionError, EncryptionKeyChanged, Malformed
from mail_proxy.operations import accounts, sync_log, tenants
from mail_proxy.operations.callers import Caller
from mail_proxy.sql import SqlDb
from mail_proxy.sql.keys import reencrypt
from mail_proxy.sql.tables.instance import bump_directory
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import SyncEndpoint
from mail_proxy.wire.accounts import AccountOut, AccountRef
from mail_proxy.wire.sync_log import CallFilter, CallOutcome, SyncCallOut
from mail_proxy.wire.tenants import TenantOut

USERS = {"ann": "right"}
LOGIN = {"user": "ann", "password": "right"}
ADMIN = Caller(None)


async def damage(url: str, statement: str) -> None:
    """Change a row behind the service's back; what runs is told."""
    db = SqlDb(url)
    await db.write(lambda connection: connection.execute(text(statement)))
    # As after a removal, everything is read again.
    await db.write(partial(bump_directory, is_removal=True))
    await db.close()


async def shown_account(post: Post, id_: str) -> AccountOut:
    which = AccountRef(id=id_)
    return (await post.proxy.door.call(accounts.get, ADMIN, which)).account


async def shown_tenant(post: Post, id_: str) -> TenantOut:
    return (await post.proxy.door.call(tenants.get, ADMIN, None, id_)).tenant


async def failed_call(post: Post, tenant_id: str) -> SyncCallOut:
    which = CallFilter()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = await post.proxy.door.call(sync_log.list_calls, ADMIN, which, tenant_id)
            failed = [call for call in answer.calls if call.outcome != CallOutcome.OK]
            if failed:
                return failed[0]
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_damaged_password_pauses_its_account_and_the_others_go_on(
    restarted: bool, config: Settings
) -> None:
    settings = config()
    async with ScriptedSmtpServer(users=USERS) as server:
        async with running(settings) as post:
            bad = await post.account(server, "bad", **LOGIN)
            await post.account(server, "good", **LOGIN)
            wrong = f"UPDATE account SET password = 'ENC:AAAA' WHERE pk = '{bad}'"
            await damage(settings.database_url, wrong)
            if not restarted:
                await check_damaged_account(post, bad)
        if restarted:
            async with running(settings) as post:
                await check_damaged_account(post, bad)
        assert not [command for _, command in server.commands if "ENC:" in command]


async def check_damaged_account(post: Post, pk: str) -> None:
    await post.add(mail("b1", account_id="bad"), mail("g1", account_id="good"))
    await post.reports.sent("g1")
    (report,) = await post.reports.wait_for("deferred", "b1")
    reason = f"account.password of row {pk}: the sealed value is damaged"
    assert report["deferred_reason"].startswith(reason)
    assert "save the account's password" in report["deferred_reason"]
    account = await shown_account(post, "bad")
    assert (account.health, account.password) == ("paused", "********")
    assert account.last_error is not None
    assert account.last_error.startswith(reason)
    assert (await shown_account(post, "good")).health == "ok"
    await post.account(account.port, "bad", **LOGIN)
    await post.reports.sent("b1")
    assert (await shown_account(post, "bad")).health == "ok"


async def test_an_application_whose_secret_is_damaged_is_not_called_without_it(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    settings = config()
    async with SyncEndpoint() as endpoint:
        auth = {"method": "bearer", "token": "the-token"}
        async with running(settings) as post:
            await post.tenant("t", client_base_url=endpoint.url, client_auth=auth)
            wrong = "UPDATE tenant SET client_auth = 'ENC:AAAA' WHERE id = 't'"
            await damage(settings.database_url, wrong)
        async with await MailProxy.create(settings) as proxy:
            post = Post(proxy, post.reports)
            await post.account(server, tenant_id="t")
            await post.add(mail("m1", tenant_id="t"))
            await post.in_state("m1", "sent", "t")
            assert (await shown_tenant(post, "t")).client_auth == {"method": "damaged"}
            half = {"client_auth": {"method": "bearer", "token": "********"}}
            with pytest.raises(Malformed, match="damaged"):
                await post.tenant("t", **half)
            assert endpoint.calls == []
            await post.tenant("t", client_auth=auth)
            await post.run_now()
            (call, *_) = await endpoint.wait_for(1)
            assert call.headers["authorization"] == "Bearer the-token"


@pytest.mark.parametrize("column", ["signing_secret", "previous_signing_secret"])
async def test_calls_are_never_unsigned_because_of_a_damaged_secret(
    column: str, config: Settings
) -> None:
    settings = config()
    old, new = ("whsec_" + letter * 32 for letter in "on")
    async with SyncEndpoint() as endpoint:
        async with running(settings) as post:
            await post.tenant("t", signing_secret=old)
            await post.tenant("t", signing_secret=new)
            wrong = f"UPDATE tenant SET {column} = 'ENC:AAAA' WHERE id = 't'"
            await damage(settings.database_url, wrong)
        async with await MailProxy.create(settings) as proxy:
            post = Post(proxy, post.reports)
            await post.tenant("t", client_base_url=endpoint.url)
            await post.run_now()
            if column == "signing_secret":
                call = await failed_call(post, "t")
                assert call.outcome == CallOutcome.SETTINGS
                assert str(call.error).startswith("tenant.signing_secret of row t: ")
                assert endpoint.calls == []
                await post.tenant("t", signing_secret=new)
                await post.run_now()
            (told, *_) = await endpoint.wait_for(1)
            told.verify(new)
            if column == "previous_signing_secret":
                with pytest.raises(WebhookVerificationError):
                    told.verify(old)


async def test_a_damaged_signing_secret_can_be_replaced(config: Settings) -> None:
    settings = config()
    async with running(settings) as post:
        await post.tenant("t", signing_secret="whsec_" + "s" * 32)
        wrong = "UPDATE tenant SET signing_secret = 'ENC:AAAA' WHERE id = 't'"
        await damage(settings.database_url, wrong)
        await post.tenant("t", name="T")
        await post.tenant("t", signing_secret="whsec_" + "n" * 32)
        assert (await shown_tenant(post, "t")).signing_secret == "********"


async def test_another_process_that_replaces_the_key_stops_this_one_from_writing_secrets(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    settings = config()
    async with running(settings) as post:
        await post.account(server)
        await post.add(mail("m1"))
        await post.reports.sent("m1")
        assert await post.proxy.monitoring.not_ready_reason() is None
        db = SqlDb(settings.database_url)
        await db.write(reencrypt, db, KEY, bytes(32), lambda done, total: None)
        await db.write(bump_directory)
        await db.close()
        with pytest.raises(EncryptionKeyChanged):
            await post.account(server, "late", **LOGIN)
        assert "restart it with the new key" in str(await post.proxy.monitoring.not_ready_reason())
    with pytest.raises(EncryptionError, match="key is not the one"):
        await MailProxy.create(settings)
