"""Requests through a reverse proxy: whose address counts, and who is the administrator."""

from __future__ import annotations

from typing import Any

import httpx
from tests.protocols.rest.client import ONE_DATABASE, Client, calling, serving

from mail_proxy.config import ProxyConfig

BEHIND = {"trusted_proxies": ("10.1.0.0/16", "127.0.0.0/8", "::1/128"), "scheduler_active": False}


async def _guess(client: Client, forwarded_for: str, times: int = 1) -> int:
    headers = {"X-API-Token": "guess", "X-Forwarded-For": forwarded_for}
    for _ in range(times):
        response = await client.http.get("/status", headers=headers)
    return response.status_code


@ONE_DATABASE
async def test_failures_behind_a_trusted_proxy_count_for_each_client(config: ProxyConfig) -> None:
    async with (
        serving(config.model_copy(update=BEHIND)) as client,
        calling(client.app, "10.1.2.3") as proxy,
    ):
        assert await _guess(proxy, "192.0.2.7", 21) == 429
        assert await _guess(proxy, "192.0.2.8") == 401
        # What stands left of the client's address is the client's own claim.
        assert await _guess(proxy, "192.0.2.9, 192.0.2.7") == 429


@ONE_DATABASE
async def test_the_header_of_any_other_address_and_what_is_no_address_are_ignored(
    config: ProxyConfig,
) -> None:
    async with serving(config.model_copy(update=BEHIND)) as client:
        async with calling(client.app, "192.0.2.66") as stranger:
            statuses = [await _guess(stranger, f"198.51.100.{n}") for n in range(21)]
            assert statuses == [401] * 20 + [429]
        async with calling(client.app, "10.1.2.3") as proxy:
            statuses = [await _guess(proxy, f"client-{n}") for n in range(21)]
            assert statuses == [401] * 20 + [429]


async def test_the_audit_log_has_the_address_of_the_client(config: ProxyConfig) -> None:
    async with (
        serving(config.model_copy(update=BEHIND)) as client,
        calling(client.app, "10.1.2.3") as proxy,
    ):
        await _guess(proxy, "192.0.2.7")
        headers = {"X-API-Token": "admin-token", "X-Forwarded-For": "2001:db8::5"}
        body: dict[str, Any] = {"id": "a", "host": "mail.example", "tls": "none"}
        made = await proxy.http.post("/account", json=body, headers=headers)
        assert made.status_code == 200
        found = (await client.ok("GET", "/command-log"))["commands"]
        assert {e["address"] for e in found} == {"192.0.2.7", "2001:db8::5"}


@ONE_DATABASE
async def test_without_a_token_a_reverse_proxy_is_not_the_administrator(
    config: ProxyConfig,
) -> None:
    for trusted in ((), ("127.0.0.0/8",)):
        changes = {"api_token": None, "trusted_proxies": trusted, "scheduler_active": False}
        async with serving(config.model_copy(update=changes)) as client:

            async def status(**headers: str) -> int:
                response: httpx.Response = await client.http.get("/tenants", headers=headers)
                return response.status_code

            assert await status() == 200
            assert await status(**{"X-Forwarded-For": "192.0.2.7"}) == 401
            assert await status(**{"X-Forwarded-For": "127.0.0.1"}) == 401
            assert await status(Forwarded="for=127.0.0.1") == 401
