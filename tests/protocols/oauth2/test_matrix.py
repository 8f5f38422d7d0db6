"""Grant x form of the provider x failure, from the token request to the SMTP log-in."""

from __future__ import annotations

import asyncio

import pytest
from tests.harness.patience import with_growing_patience
from tests.harness.processes import free_port
from tests.protocols.oauth2.house import FORMS, USER, House
from tests.protocols.rest.client import ONE_DATABASE

from mail_proxy.domain.outcome import AccountTrouble
from mail_proxy.testing.sync_endpoint import Reply

EACH_FORM = pytest.mark.parametrize("form", FORMS)
REFUSED = Reply({"error": "invalid_grant", "error_description": "revoked\r\n by ann"}, 400)
#: Answers that are no token, and the words of the trouble.
BROKEN: dict[str, tuple[Reply, str]] = {
    "no JSON": (Reply(body=b"<html>internal.example/secret</html>"), "HTTP 200"),
    "a list": (Reply([1, 2]), "HTTP 200"),
    "JSON without a token": (Reply({"hello": 1}), "has no access_token"),
    "a token of the wrong type": (Reply({"access_token": 7}), "has no access_token"),
    "a token with control characters": (Reply({"access_token": "a\1b"}), "has no access_token"),
    "a token that is too long": (Reply({"access_token": "x" * 20_000}), "has no access_token"),
    "another token type": (
        Reply({"access_token": "t", "token_type": "mac"}),
        "token_type other than bearer",
    ),
    "a refusal with 200": (Reply({"error": "bad_scope"}), "refuses: bad_scope"),
    "a refusal without words": (Reply(body=b"", status=403), "HTTP 403"),
    "an error of the server": (Reply(body=b"oops", status=503), "HTTP 503"),
    "a redirect": (Reply(status=302, headers={"Location": "http://evil.example/"}), "HTTP 302"),
    "a huge answer": (Reply(body=b" " * 200_000), "larger than 100000 octets"),
    "many small heads": (Reply(raw=b"HTTP/1.1 100 X\r\n\r\n" * 9_000), "larger than|broke off"),
    "no HTTP": (Reply(raw=b"220 smtp.example ESMTP\r\n"), "broke off"),
    "nothing": (Reply(raw=b""), "broke off"),
    "half an answer": (Reply(raw=b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n{"), "broke off"),
}


@ONE_DATABASE
@EACH_FORM
async def test_a_token_is_obtained_and_logs_in(house: House, form: str) -> None:
    await house.account(form)
    assert not isinstance(await house.open(), AccountTrouble)
    (login,) = house.smtp.logins
    assert (login.mechanism, login.user, login.token) == ("OAUTHBEARER", USER, "token-1-")
    assert (login.host, login.port, login.mistake) == ("127.0.0.1", house.smtp.port, None)
    (request,) = house.tokens.requests
    assert (house.tokens.issued, request.path) == (1, "/oauth2/v2.0/token")


@ONE_DATABASE
@EACH_FORM
async def test_a_refused_token_is_obtained_again_and_tried_once_more(
    house: House, form: str
) -> None:
    await house.account(form)
    source = house.source()
    assert not isinstance(await house.open(source), AccountTrouble)
    house.tokens.revoke_tokens()
    assert not isinstance(await house.open(source), AccountTrouble)
    assert [login.token for login in house.smtp.logins] == ["token-1-", "token-1-", "token-2-"]
    assert house.smtp.logins[1].answered == "AQ=="
    house.tokens.revoke_tokens()
    house.smtp.on("AUTH", "535 5.7.3 Authentication unsuccessful")
    house.tokens.valid_tokens.add("token-3-")
    reason = await house.reason(source)
    assert "535" in reason
    assert "token-" not in reason
    assert len(house.smtp.logins) == 5


@ONE_DATABASE
@EACH_FORM
async def test_a_server_that_refuses_is_heard(house: House, form: str) -> None:
    await house.account(form)
    house.tokens.script(REFUSED)
    reason = await house.reason()
    assert reason == "the token server refuses: invalid_grant: revoked by ann"
    assert house.smtp.logins == []
    assert not isinstance(await house.open(), AccountTrouble)


@ONE_DATABASE
@EACH_FORM
async def test_answers_that_are_no_token(house: House, form: str) -> None:
    await house.account(form)
    source = house.source()
    for kind, (reply, words) in BROKEN.items():
        house.tokens.script(reply)
        reason = await house.reason(source)
        assert any(word in reason for word in words.split("|")), (kind, reason)
        assert "internal.example" not in reason
    assert (house.smtp.logins, await house.stored_token()) == ([], None)
    assert not isinstance(await house.open(source), AccountTrouble)


@ONE_DATABASE
@EACH_FORM
async def test_a_token_server_that_is_away(house: House, form: str) -> None:
    await house.account(form, token_url=f"http://127.0.0.1:{free_port()}/token")
    assert "no connection to the token server" in await house.reason()


@ONE_DATABASE
@EACH_FORM
async def test_a_token_server_that_does_not_answer(house: House, form: str) -> None:
    await house.account(form)
    house.tokens.default = Reply(hangs=True)

    async def attempt(seconds: float) -> None:
        assert await house.reason(house.source(seconds)) in (
            f"no answer of the token server within {seconds:g} s",
            "no connection to the token server in time",
        )

    await with_growing_patience(attempt)


@ONE_DATABASE
@EACH_FORM
@pytest.mark.parametrize("rotates", [False, True])
async def test_a_token_near_its_end_is_renewed_and_kept_while_that_fails(
    house: House, form: str, rotates: bool
) -> None:
    house.tokens.rotates = rotates
    await house.account(form)
    source = house.source()
    login = (await house.login()).tokens
    assert login is not None
    assert await source.access_token(login) == "token-1-"
    house.clock.advance(3200)
    assert await source.access_token(login) == "token-1-"
    house.clock.advance(150)
    house.tokens.script(REFUSED)
    assert await source.access_token(login) == "token-1-"
    assert len(house.tokens.calls) == 2
    assert await source.access_token(login) == "token-1-"
    assert len(house.tokens.calls) == 2
    house.clock.advance(40)
    assert await source.access_token(login) == "token-2-"
    house.clock.advance(3300)
    house.tokens.script(REFUSED)
    house.clock.advance(301)
    with pytest.raises(Exception, match="invalid_grant"):
        await source.access_token(login)


@ONE_DATABASE
@pytest.mark.parametrize("form", ["microsoft refresh_token", "custom refresh_token"])
async def test_a_revoked_refresh_token_is_trouble_until_another_is_saved(
    house: House, form: str
) -> None:
    await house.account(form)
    house.tokens.refresh_tokens.clear()
    assert "AADSTS70008" in await house.reason()
    house.tokens.refresh_tokens.add("refresh-new")
    await house.change(auth={**(await house.row())["auth"], "refresh_token": "refresh-new"})
    assert not isinstance(await house.open(), AccountTrouble)


@ONE_DATABASE
async def test_an_account_that_is_not_authorized_yet_says_so(house: House) -> None:
    await house.account("microsoft refresh_token", refresh_token=None)
    assert "accounts authorize" in await house.reason()
    assert house.tokens.requests == []


@ONE_DATABASE
async def test_a_wrong_client_secret_is_not_repeated(house: House) -> None:
    await house.account("custom client_credentials", client_secret="s3cret-of-app")
    house.tokens.script(Reply({"error": "invalid_client", "error_description": "s3cret-of-app"}))
    assert await house.reason() == "the token server refuses: invalid_client: ***"
    assert "AADSTS7000215" in await house.reason()


@ONE_DATABASE
@pytest.mark.parametrize("mechanisms", [("XOAUTH2", "LOGIN"), ("PLAIN", "OAUTHBEARER")])
async def test_a_long_token_goes_in_a_line_of_its_own(
    house: House, mechanisms: tuple[str, ...]
) -> None:
    house.tokens.token_length = 3000
    house.smtp.offer(mechanisms)
    await house.account("microsoft client_credentials")
    assert not isinstance(await house.open(), AccountTrouble)
    name = next(m for m in mechanisms if m.endswith(("2", "BEARER")))
    assert [line for _, line in house.smtp.commands if line.startswith("AUTH")] == [f"AUTH {name}"]
    assert len(house.smtp.logins[0].token) == 3000


@ONE_DATABASE
@pytest.mark.parametrize("value", [None, "3600", 3600.5, "soon", -5, 1e300, True, [1]])
async def test_every_form_of_expires_in(house: House, value: object) -> None:
    house.tokens.script(Reply({"access_token": "t", "expires_in": value}))
    house.tokens.valid_tokens.add("t")
    await house.account("custom client_credentials")
    assert not isinstance(await house.open(), AccountTrouble)
    stored = await house.stored_token()
    assert stored is not None
    assert 0 <= stored["expires_at"] - house.clock.now() <= 86_400


@ONE_DATABASE
async def test_waiting_for_the_token_server_does_not_hold_the_event_loop(house: House) -> None:
    await house.account("custom client_credentials")
    answer = asyncio.Event()
    house.tokens.script(Reply({"access_token": "token-1-"}, after=answer))
    house.tokens.valid_tokens.add("token-1-")
    opening = asyncio.create_task(house.open())
    await house.tokens.wait_for(1)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not opening.done()
    answer.set()
    assert not isinstance(await opening, AccountTrouble)
