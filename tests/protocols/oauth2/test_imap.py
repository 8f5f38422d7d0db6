"""IMAP log-ins with access tokens, octet by octet."""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocols.oauth2.house import USER, House
from tests.protocols.rest.client import ONE_DATABASE

from mail_proxy.domain.account import TlsMode
from mail_proxy.features.oauth2.tokens import AccessTokens
from mail_proxy.imap import IMAPClient, ImapLogin, ImapTrouble
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.testing.imap_server import ImapServer
from mail_proxy.testing.sync_endpoint import Reply

pytestmark = ONE_DATABASE


def server(house: House, **options: Any) -> ImapServer:
    return ImapServer({USER: ""}, accepts_token=house.tokens.accepts, **options)


async def read(house: House, imap: ImapServer, source: AccessTokens) -> None:
    """Open the mailbox with the account's tokens, and look into it."""
    tokens = (await house.login()).tokens
    login = ImapLogin(imap.host, imap.port, USER, "", TlsMode.NONE, tokens=tokens)
    client = IMAPClient(login, NetworkGuard(), tokens=source)
    try:
        await client.open()
        assert (await client.select("INBOX")).exists == 0
    finally:
        await client.close()


@pytest.mark.parametrize(
    ("mechanisms", "used", "dummy"),
    [
        (("XOAUTH2",), "XOAUTH2", ""),
        (("OAUTHBEARER",), "OAUTHBEARER", "AQ=="),
        (("XOAUTH2", "OAUTHBEARER"), "OAUTHBEARER", "AQ=="),
    ],
)
async def test_a_token_logs_in_and_a_refused_one_is_obtained_again(
    house: House, mechanisms: tuple[str, ...], used: str, dummy: str
) -> None:
    house.tokens.rotates = True
    await house.account("custom refresh_token")
    source = house.source()
    async with ImapServer(
        {USER: ""}, accepts_token=house.tokens.accepts, mechanisms=mechanisms
    ) as imap:
        await read(house, imap, source)
        house.tokens.revoke_tokens()
        await read(house, imap, source)
        assert [(login.mechanism, login.user, login.token) for login in imap.logins] == [
            (used, USER, "token-1-"),
            (used, USER, "token-1-"),
            (used, USER, "token-2-"),
        ]
        assert [login.answered for login in imap.logins] == [None, dummy, None]
        assert [login.mistake for login in imap.logins] == [None] * 3
    assert (await house.row())["auth"]["refresh_token"] == "refresh-2"


async def test_a_token_that_stays_refused_is_trouble_with_the_words_of_the_server(
    house: House,
) -> None:
    await house.account("custom client_credentials")
    async with ImapServer({USER: ""}, accepts_token=lambda user, token: False) as imap:
        with pytest.raises(ImapTrouble, match="invalid_token") as caught:
            await read(house, imap, house.source())
        assert caught.value.stage == "login"
        assert "token-" not in str(caught.value)
        assert [login.token for login in imap.logins] == ["token-1-", "token-2-"]


async def test_the_words_of_the_token_server_are_told(house: House) -> None:
    await house.account("custom client_credentials")
    house.tokens.script(Reply({"error": "invalid_client"}, 401))
    async with server(house) as imap:
        with pytest.raises(ImapTrouble, match="the token server refuses: invalid_client"):
            await read(house, imap, house.source())
        assert imap.connections == 0


async def test_a_server_without_tokens_says_what_is_missing(house: House) -> None:
    await house.account("custom client_credentials")
    async with ImapServer(
        {USER: ""}, accepts_token=house.tokens.accepts, mechanisms=("PLAIN",)
    ) as imap:
        with pytest.raises(ImapTrouble, match="no log-in with tokens"):
            await read(house, imap, house.source())
        assert imap.logins == []
