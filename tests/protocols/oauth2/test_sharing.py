"""Tokens are renewed once for all who ask, and rotated ones are stored with them."""

from __future__ import annotations

import asyncio

import pytest
from tests.harness.patience import PATIENCE_SECONDS
from tests.protocols.oauth2.house import House
from tests.protocols.rest.client import ONE_DATABASE

from mail_proxy.domain.oauth2 import TokenLogin
from mail_proxy.domain.outcome import AccountTrouble
from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.network.access_tokens import TokenTrouble
from mail_proxy.testing.sync_endpoint import Reply


async def token_login(house: House) -> TokenLogin:
    login = (await house.login()).tokens
    assert login is not None
    return login


@pytest.mark.parametrize("rotates", [False, True])
async def test_many_sessions_of_several_processes_renew_once(house: House, rotates: bool) -> None:
    house.tokens.rotates = rotates
    await house.account("custom refresh_token")
    login = await token_login(house)
    processes = [house.source() for _ in range(3)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        found = await asyncio.gather(
            *(source.access_token(login) for source in processes for _ in range(50))
        )
    assert set(found) == {"token-1-"}
    assert house.tokens.issued == len(house.tokens.calls) == 1
    # As they all see that the mail server refuses it.
    house.tokens.revoke_tokens()
    async with asyncio.timeout(PATIENCE_SECONDS):
        found = await asyncio.gather(
            *(source.access_token(login, "token-1-") for source in processes for _ in range(50))
        )
    assert set(found) == {"token-2-"}
    assert house.tokens.issued == 2


async def test_a_rotated_refresh_token_is_stored_with_the_access_token(house: House) -> None:
    house.tokens.rotates = True
    await house.account("custom refresh_token")
    version = (await house.row())["version"]
    for number in range(1, 4):
        source = house.source()
        login = await token_login(house)
        refused = None if number == 1 else f"token-{number - 1}-"
        assert await source.access_token(login, refused) == f"token-{number}-"
        row, stored = await house.row(), await house.stored_token()
        assert row["auth"]["refresh_token"] == f"refresh-{number}"
        assert house.tokens.refresh_tokens == {f"refresh-{number}"}
        assert stored is not None
        assert stored["token"] == f"token-{number}-"
        # Sessions that are open stay so.
        assert row["version"] == version
    # Another process uses what is stored.
    assert await house.source().access_token(await token_login(house)) == "token-3-"
    assert house.tokens.issued == 3


async def test_an_account_that_is_saved_meanwhile_keeps_what_was_saved(house: House) -> None:
    house.tokens.rotates = True
    await house.account("custom refresh_token")
    answer = asyncio.Event()
    late = Reply({"access_token": "late", "refresh_token": "of the old grant"}, after=answer)
    house.tokens.script(late)
    source = house.source()
    asking = asyncio.create_task(source.access_token(await token_login(house)))
    await house.tokens.wait_for(1)
    await house.change(auth={**(await house.row())["auth"], "refresh_token": "refresh-other"})
    answer.set()
    assert await asking == "late"
    assert (await house.row())["auth"]["refresh_token"] == "refresh-other"
    assert await house.stored_token() is None
    house.tokens.refresh_tokens.add("refresh-other")
    assert await source.access_token(await token_login(house)) == "token-1-"


@ONE_DATABASE
async def test_a_caller_that_ends_does_not_end_the_renewal(house: House) -> None:
    house.tokens.rotates = True
    await house.account("custom refresh_token")
    answer = asyncio.Event()
    token = {"access_token": "token-a", "refresh_token": "refresh-a"}
    house.tokens.script(Reply(token, after=answer))
    source = house.source()
    asking = asyncio.create_task(source.access_token(await token_login(house)))
    await house.tokens.wait_for(1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    answer.set()
    await source.close()
    assert (await house.row())["auth"]["refresh_token"] == "refresh-a"


@ONE_DATABASE
async def test_tokens_of_other_settings_are_not_used(house: House) -> None:
    await house.account("custom client_credentials")
    source = house.source()
    assert await source.access_token(await token_login(house)) == "token-1-"
    await house.change(limit_per_hour=5)
    assert await source.access_token(await token_login(house)) == "token-1-"
    await house.change(auth={**(await house.row())["auth"], "scope": "more"})
    assert await source.access_token(await token_login(house)) == "token-2-"
    assert await source.access_token(await token_login(house)) == "token-2-"


@ONE_DATABASE
async def test_a_removed_account_gets_no_token(house: House) -> None:
    await house.account("custom client_credentials")
    login = await token_login(house)
    await house.change(deleted_at=1.0, auth=None)
    with pytest.raises(TokenTrouble, match="any more"):
        await house.source().access_token(login)
    assert house.tokens.requests == []


@ONE_DATABASE
async def test_settings_that_are_not_saved_store_nothing(house: House) -> None:
    await house.account("custom client_credentials")
    unsaved = TokenLogin((await token_login(house)).settings, None, 1)
    assert await house.source().access_token(unsaved) == "token-1-"
    assert await house.source().access_token(unsaved) == "token-2-"
    assert await house.stored_token() is None


@ONE_DATABASE
async def test_a_database_that_fails_for_a_moment_does_not_lose_a_rotated_token(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.tokens.rotates = True
    await house.account("custom refresh_token")
    source, write = house.source(), house.db.write
    failures = iter(range(2))

    async def failing(work: object, *arguments: object) -> object:
        name = getattr(work, "__name__", "")
        if name == "_store" and next(failures, None) is not None:
            raise DatabaseUnavailable("it restarts")
        return await write(work, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(house.db, "write", failing)
    assert await source.access_token(await token_login(house)) == "token-1-"
    assert (await house.row())["auth"]["refresh_token"] == "refresh-1"


async def test_a_process_that_ended_while_it_renewed_holds_nobody_up_for_ever(
    house: House,
) -> None:
    await house.account("custom client_credentials")
    now = house.clock.now()
    claim = f"oauth2:{house.pk}"
    await house.db.write(house.tables.claims.take, claim, "another", now - 100, 40.0)
    assert not isinstance(await house.open(), AccountTrouble)
