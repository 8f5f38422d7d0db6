"""``accounts authorize``: device flow and loopback flow, with a token server of the tests' own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.harness.patience import PATIENCE_SECONDS

from mail_proxy.cli.authorization import Flow, obtain
from mail_proxy.errors import MailProxyError
from mail_proxy.testing.sync_endpoint import Reply
from mail_proxy.testing.token_server import ScriptedTokenServer


@pytest.fixture
def flow(tokens: ScriptedTokenServer) -> Flow:
    return Flow(
        provider="microsoft",
        client_id="app",
        client_secret="secret",
        token_url=tokens.token_url,
        scope=None,
        login_hint="mailer@example.org",
        device_url=None,
        authorize_url=None,
        opens_browser=False,
        seconds=PATIENCE_SECONDS,
    )


async def run(flow: Flow, talk: Callable[[str], None]) -> str:
    return await asyncio.to_thread(obtain, flow, talk)


async def test_the_device_flow_waits_until_the_code_is_entered(
    flow: Flow, tokens: ScriptedTokenServer
) -> None:
    tokens.pending_answers = 2
    said: list[str] = []
    assert await run(flow, said.append) == "refresh-1"
    assert "WDJB-MJHT" in said[0]
    assert f"{tokens.url}/device" in said[0]
    first, *polls = tokens.requests
    assert first.path == "/oauth2/v2.0/devicecode"
    assert first.form["scope"].split()[-1] == "offline_access"
    assert len(polls) == 3
    assert polls[0].form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "device-1",
        "client_id": "app",
        "client_secret": "secret",
    }


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        ((Reply({"error": "invalid_client"}, 401),), "refuses: invalid_client"),
        ((Reply(body=b"<html>"),), "HTTP 200"),
        ((Reply({"device_code": 7}),), "has no access_token"),
    ],
)
async def test_a_device_flow_that_cannot_begin(
    flow: Flow, tokens: ScriptedTokenServer, replies: tuple[Reply, ...], words: str
) -> None:
    tokens.script(*replies)
    with pytest.raises(MailProxyError, match=words):
        await run(flow, lambda _: None)


async def test_a_person_who_declines_or_does_nothing(
    flow: Flow, tokens: ScriptedTokenServer
) -> None:
    device = Reply(
        {"device_code": "device-1", "user_code": "A", "verification_uri": "u", "interval": 0}
    )
    tokens.script(device, Reply({"error": "access_denied", "error_description": "no"}, 400))
    with pytest.raises(MailProxyError, match="access_denied: no"):
        await run(flow, lambda _: None)
    tokens.script(device, Reply({"access_token": "t"}))
    with pytest.raises(MailProxyError, match="no refresh token"):
        await run(flow, lambda _: None)
    tokens.pending_answers = 10**9
    with pytest.raises(MailProxyError, match="nobody entered the code"):
        await run(replace(flow, seconds=0.2), lambda _: None)


async def follow(url: str, **answer: str) -> int:
    """Act as the browser: come back with ``answer`` to the address that the page names."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    given = {"state": query["state"], **answer}
    async with httpx.AsyncClient() as http:
        return (await http.get(query["redirect_uri"], params=given)).status_code


async def loopback(flow: Flow, *answers: dict[str, str]) -> tuple[str, dict[str, str], list[int]]:
    """The refresh token, the query of the page, and the answers to the browser."""
    loop, page = asyncio.get_running_loop(), asyncio.Queue[str]()

    def talk(text: str) -> None:
        loop.call_soon_threadsafe(page.put_nowait, text.rpartition("\n")[2])

    running = asyncio.create_task(run(flow, talk))
    url = await page.get()
    statuses = [await follow(url, **answer) for answer in answers]
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    return await running, query, statuses


async def test_the_loopback_flow_takes_the_code_of_its_own_page_only(
    flow: Flow, tokens: ScriptedTokenServer
) -> None:
    google = replace(flow, provider="google", authorize_url="https://accounts.example/auth")
    token, query, statuses = await loopback(
        google, {"state": "of another page", "code": "evil"}, {"code": "the-code"}
    )
    assert (token, statuses) == ("refresh-1", [404, 200])
    assert query["scope"] == "https://mail.google.com/"
    assert (query["access_type"], query["code_challenge_method"]) == ("offline", "S256")
    (request,) = tokens.requests
    assert request.form["code"] == "the-code"
    assert request.form["redirect_uri"] == query["redirect_uri"]
    assert len(request.form["code_verifier"]) >= 43


async def test_a_loopback_flow_that_is_declined_or_left(flow: Flow) -> None:
    google = replace(flow, provider="google", authorize_url="https://accounts.example/auth")
    with pytest.raises(MailProxyError, match="access_denied"):
        await loopback(google, {"error": "access_denied"})
    with pytest.raises(MailProxyError, match="nobody allowed"):
        await run(replace(google, seconds=0.1), lambda _: None)
    with pytest.raises(MailProxyError, match="--device-url or --authorize-url"):
        await run(replace(flow, provider="custom"), lambda _: None)
