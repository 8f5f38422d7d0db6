"""A tenant key reaches public addresses and listed networks, the administrator reaches any."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.harness.patience import PATIENCE_SECONDS
from tests.protocols.rest.client import ONE_DATABASE, Client, serving

from mail_proxy.config import ProxyConfig
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import SyncEndpoint

SETTING = "GMP_ALLOW_PRIVATE_NETWORKS"
#: The service listens beyond loopback, so loopback is an inner network like any other.
OPEN_TO_ALL = {"host": "0.0.0.0"}


@pytest.fixture
async def public(config: ProxyConfig) -> AsyncIterator[Client]:
    async with serving(config.model_copy(update=OPEN_TO_ALL)) as client:
        yield client


async def _save(client: Client, server: ScriptedSmtpServer, token: str, **fields: Any) -> None:
    body = {"id": "relay", "tenant_id": "acme", "host": server.host, "port": server.port}
    await client.ok("POST", "/account", {"tls": "none", **body, **fields}, token=token)


async def _test(client: Client) -> dict[str, Any]:
    path = "/account/relay/test?tenant_id=acme"
    response = await client("POST", path)
    answer: dict[str, Any] = response.json()
    return answer


async def test_an_account_of_a_tenant_key_reaches_no_inner_host(
    public: Client, smtp: ScriptedSmtpServer
) -> None:
    key = await public.tenant("acme")
    for host in ("127.0.0.1", "localhost", "127.1", "2130706433", "::ffff:127.0.0.1"):
        await _save(public, smtp, key, host=host)
        found = await _test(public)
        assert found["ok"] is False
        assert SETTING in found["steps"][0]["detail"]
    assert smtp.connections == 0


async def test_the_administrator_saves_any_host_until_a_tenant_key_changes_it(
    public: Client, smtp: ScriptedSmtpServer
) -> None:
    key = await public.tenant("acme")
    await _save(public, smtp, "admin-token")
    assert (await _test(public))["ok"] is True
    same = {"id": "relay", "host": smtp.host, "limit_per_hour": 5}
    await public.ok("POST", "/account", same, token=key)
    assert (await _test(public))["ok"] is True
    async with ScriptedSmtpServer() as other:
        await public.ok("POST", "/account", {"id": "relay", "port": other.port}, token=key)
        assert SETTING in str(await _test(public))
        # A save that does not name the host approves nothing.
        await public.ok("POST", "/account", {"id": "relay", "tenant_id": "acme", "ttl": 60})
        assert SETTING in str(await _test(public))
        assert other.connections == 0
        await public.ok("POST", "/account", {**same, "tenant_id": "acme"})
        assert (await _test(public))["ok"] is True


@ONE_DATABASE
@pytest.mark.parametrize(
    "changes",
    [{**OPEN_TO_ALL, "allow_private_networks": ("127.0.0.0/8",)}, {"host": "127.0.0.1"}],
    ids=["listed", "loopback only"],
)
async def test_listed_networks_are_reached(
    config: ProxyConfig, smtp: ScriptedSmtpServer, changes: dict[str, Any]
) -> None:
    async with serving(config.model_copy(update=changes)) as client:
        await _save(client, smtp, await client.tenant("acme"))
        assert (await _test(client))["ok"] is True


@ONE_DATABASE
async def test_delivery_is_guarded_too_and_the_account_says_why(
    public: Client, smtp: ScriptedSmtpServer
) -> None:
    await _save(public, smtp, await public.tenant("acme"))
    await public.add("m1", tenant_id="acme", account_id="relay")
    path = "/account/relay?tenant_id=acme"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (account := (await public.ok("GET", path))["account"])["health"] == "ok":
            await asyncio.sleep(0.01)
    assert SETTING in account["last_error"]
    assert smtp.connections == 0


async def _call_error(client: Client) -> str:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            states = (await client.ok("GET", "/tenants/sync-status"))["tenants"]
            state = next(s for s in states if s["id"] == "acme")
            if state["last_sync_error"]:
                return str(state["last_sync_error"])
            await asyncio.sleep(0.01)


@ONE_DATABASE
async def test_reports_reach_no_inner_application_that_a_tenant_key_named(
    public: Client, endpoint: SyncEndpoint
) -> None:
    key = await public.tenant("acme")
    await public.ok("PUT", "/tenant/acme", {"client_base_url": endpoint.url}, token=key)
    await public.ok("POST", "/commands/run-now", token=key)
    assert SETTING in await _call_error(public)
    assert endpoint.connections == 0
    await public.ok("PUT", "/tenant/acme", {"client_base_url": endpoint.url})
    await public.ok("POST", "/commands/run-now", token=key)
    await endpoint.wait_for(1)


@asynccontextmanager
async def _speaking(words: bytes) -> AsyncIterator[int]:
    """Serve on loopback something that says this to everybody who connects."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@ONE_DATABASE
@pytest.mark.parametrize(
    "words",
    [
        b"SSH-2.0-OpenSSH_9.6 the-banner\r\n",
        b"* OK the-banner IMAP ready\r\n",
        b"+OK the-banner\r\n",
        b"HTTP/1.1 400 Bad Request\r\nServer: the-banner\r\n\r\n",
        b"J\x00\x00\x00\x0a8.0.36-the-banner\x00\n",
        b"999 the-banner\r\n",
        b"22 the-banner\r\n",
        b"220the-banner\r\n",
        b"220-ok\r\nthe-banner\r\n",
    ],
)
async def test_words_of_a_server_of_another_kind_are_not_passed_on(
    client: Client, words: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await client.tenant("acme")
    async with _speaking(words) as port:
        body = {"id": "relay", "tenant_id": "acme", "host": "127.0.0.1", "port": port}
        await client.ok("POST", "/account", {**body, "tls": "none"})
        found = await _test(client)
        assert "not an SMTP reply" in str(found)
        await client.add("m1", tenant_id="acme", account_id="relay")
        path = "/account/relay?tenant_id=acme"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (account := (await client.ok("GET", path))["account"])["health"] == "ok":
                await asyncio.sleep(0.01)
    seen = str([found, account, await client.message("m1?tenant_id=acme"), caplog.text])
    assert "the-banner" not in seen


@ONE_DATABASE
@pytest.mark.parametrize(
    "words",
    [
        # The empty line ends the head of an answer: without it, the call waits for its time limit.
        b"SSH-2.0-OpenSSH_9.6 the-banner\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nthe-banner",
        b"HTTP/1.1 500 the-banner\r\nServer: the-banner\r\nContent-Length: 10\r\n\r\nthe-banner",
        b"HTTP/1.1 302 the-banner\r\nLocation: http://the-banner/\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_words_of_what_is_no_application_are_not_passed_on(
    client: Client,
    endpoint: SyncEndpoint,
    words: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "mail_proxy")
    key = await client.tenant("acme")
    async with _speaking(words) as port:
        body = {"client_base_url": f"http://127.0.0.1:{port}"}
        await client.ok("PUT", "/tenant/acme", body, token=key)
        await client.ok("POST", "/commands/run-now", token=key)
        error = await _call_error(client)
        calls = (await client("GET", "/sync-log?tenant_id=acme")).text
    assert "the-banner" not in error + calls + caplog.text
