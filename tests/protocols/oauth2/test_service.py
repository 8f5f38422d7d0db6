"""The whole service with an account that logs in with OAuth2."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.running import Post, mail, running
from tests.protocols.delivery.conftest import Settings, config
from tests.protocols.oauth2.house import USER
from tests.protocols.rest.client import ONE_DATABASE

from mail_proxy.operations import account_tests
from mail_proxy.operations.callers import Caller
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import Reply
from mail_proxy.testing.token_server import ScriptedTokenServer
from mail_proxy.wire.accounts import AccountTest, AccountTestOut, UnsavedAccountTest

__all__ = ["config"]
ADMIN = Caller(None)


def auth(tokens: ScriptedTokenServer, **changes: Any) -> dict[str, Any]:
    grant = {"grant": "refresh_token", "refresh_token": "refresh-0"}
    app = {"method": "oauth2", "provider": "custom", "client_id": "app", "client_secret": "secret"}
    return {**app, **grant, "token_url": tokens.token_url, **changes}


async def outcome(post: Post, **fields: Any) -> AccountTestOut:
    """The test of the saved account, or of fields that are not saved."""
    door = post.proxy.door
    if not fields:
        return await door.call(account_tests.test, ADMIN, AccountTest(id="smtp"))
    unsaved = UnsavedAccountTest.model_validate(fields)
    return await door.call(account_tests.test_unsaved, ADMIN, unsaved)


@pytest.mark.parametrize("rotates", [False, True])
async def test_a_thousand_messages_at_once_cost_one_renewal(
    config: Settings, smtp: ScriptedSmtpServer, tokens: ScriptedTokenServer, rotates: bool
) -> None:
    tokens.rotates = rotates
    async with running(config()) as post:
        await post.account(smtp, user=USER, auth=auth(tokens))
        names = [f"m{i}" for i in range(1000)]
        await post.add(*(mail(name) for name in names))
        await post.reports.sent(*names)
        assert len(smtp.accepted) == 1000
        assert len({login.token for login in smtp.logins}) == 1
    assert (tokens.issued, len(tokens.calls)) == (1, 1)


async def test_a_token_server_that_refuses_is_trouble_of_the_account_in_its_words(
    config: Settings, smtp: ScriptedSmtpServer, tokens: ScriptedTokenServer
) -> None:
    tokens.script(Reply({"error": "invalid_grant", "error_description": "AADSTS50173"}, 400))
    async with running(config()) as post:
        await post.account(smtp, user=USER, auth=auth(tokens))
        await post.add(mail("m1"))
        (deferred,) = await post.reports.wait_for("deferred", "m1")
        words = "the token server refuses: invalid_grant: AADSTS50173"
        assert deferred["deferred_reason"] == words
        assert (await post.message("m1")).retry_count == 0
        assert (await outcome(post)).ok
        await post.reports.sent("m1")


async def test_a_test_of_a_saved_account_stores_a_rotated_token(
    config: Settings, smtp: ScriptedSmtpServer, tokens: ScriptedTokenServer
) -> None:
    tokens.rotates = True
    async with running(config(scheduler_active=False)) as post:
        await post.account(smtp, user=USER, auth=auth(tokens))
        assert (await outcome(post)).ok
        # Fields that change nothing about the tokens use what is stored, and store too.
        assert (await outcome(post, id="smtp", limit_per_hour=5)).ok
        assert tokens.issued == 1
    tokens.revoke_tokens()
    async with running(config()) as post:
        await post.add(mail("m1"))
        await post.reports.sent("m1")
        answer = await outcome(post)
        assert (answer.ok, answer.steps[2].detail) == (
            True,
            f"logged in as {USER} with an access token",
        )
    assert tokens.issued == 2
    assert tokens.refresh_tokens == {"refresh-2"}


@ONE_DATABASE
async def test_settings_are_tested_before_they_are_saved(
    config: Settings, smtp: ScriptedSmtpServer, tokens: ScriptedTokenServer
) -> None:
    async with running(config(scheduler_active=False)) as post:
        place = {"host": smtp.host, "port": smtp.port, "tls": "none", "user": USER}
        assert (await outcome(post, **place, auth=auth(tokens))).ok
        wrong = await outcome(post, **place, auth=auth(tokens, client_secret="wr0ng"))
        assert [s.ok for s in wrong.steps] == [True, True, False]
        assert "AADSTS7000215" in wrong.steps[-1].detail
        assert wrong.steps[-1].hint is not None
        assert "token" in wrong.steps[-1].hint
        plain = await outcome(post, **place, auth={"method": "none"})
        assert (plain.ok, plain.steps[2].detail) == (True, "no log-in")


@ONE_DATABASE
async def test_token_urls_pass_the_network_guard(
    config: Settings, smtp: ScriptedSmtpServer, tokens: ScriptedTokenServer
) -> None:
    """A tenant's token URL may not lead to a private address; the administrator's may."""
    async with running(config(scheduler_active=False, allow_private_networks=[])) as post:
        await post.tenant("acme")
        await post.account(smtp, tenant_id="acme", user=USER)
        request = UnsavedAccountTest.model_validate({"id": "smtp", "auth": auth(tokens)})

        async def test_of(caller: Caller) -> AccountTestOut:
            operation = account_tests.test_unsaved
            return await post.proxy.door.call(operation, caller, request, "acme")

        answer = await test_of(Caller("acme"))
        assert not answer.ok
        assert "allow_private_networks" in answer.steps[-1].detail
        assert tokens.connections == 0
        assert (await test_of(Caller(None))).ok
