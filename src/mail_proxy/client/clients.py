"""The two clients. They have the same groups of calls."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Generic, Self

import httpx

from mail_proxy.client.accounts import Accounts
from mail_proxy.client.alerts import Alerts
from mail_proxy.client.audit import Audit
from mail_proxy.client.bounces import Bounces
from mail_proxy.client.calls import Asynchronous, Blocking, Connection, Mode
from mail_proxy.client.commands import Commands
from mail_proxy.client.connections import AsyncConnection, BlockingConnection
from mail_proxy.client.dkim import Dkim
from mail_proxy.client.instance import Instance
from mail_proxy.client.messages import Messages
from mail_proxy.client.retries import Retries
from mail_proxy.client.stats import Stats
from mail_proxy.client.storages import Storages
from mail_proxy.client.suppressions import Suppressions
from mail_proxy.client.tenants import Tenants

_ANSWER_SECONDS = 60.0
_USUAL = Retries()


class _Groups(Generic[Mode]):
    """The groups of calls."""

    def __init__(self, connection: Connection) -> None:
        self.messages: Messages[Mode] = Messages(connection)
        self.commands: Commands[Mode] = Commands(connection)
        self.accounts: Accounts[Mode] = Accounts(connection)
        self.tenants: Tenants[Mode] = Tenants(connection)
        self.dkim: Dkim[Mode] = Dkim(connection)
        self.bounces: Bounces[Mode] = Bounces(connection)
        self.storages: Storages[Mode] = Storages(connection)
        self.suppressions: Suppressions[Mode] = Suppressions(connection)
        self.stats: Stats[Mode] = Stats(connection)
        self.audit: Audit[Mode] = Audit(connection)
        self.instance: Instance[Mode] = Instance(connection)
        self.alerts: Alerts[Mode] = Alerts(connection)


class MailProxyClient(_Groups[Blocking]):
    """Client of a mail proxy; its calls return their answers.

        with MailProxyClient("http://localhost:8000", token="...") as client:
            client.messages.add([{"id": "order-1", "from": "shop@example.com", ...}])

    Calls raise the errors of ``mail_proxy.errors``, and NoAnswer if the service cannot be reached.
    Threads may share a client.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        tenant_id: str | None = None,
        timeout: float = _ANSWER_SECONDS,
        retries: Retries = _USUAL,
        verify: ssl.SSLContext | bool = True,
        trust_env: bool = True,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Prepare a client of the service at ``url``, without a connection yet.

        ``token`` is the admin token or a tenant's key. ``tenant_id`` is the tenant of calls that
        name none. ``timeout`` is in seconds, for each attempt of a call. ``trust_env``: use the
        HTTP proxies that the environment names.
        """
        http = httpx.Client(
            base_url=url,
            headers=_headers(token),
            timeout=timeout,
            verify=verify,
            trust_env=trust_env,
            transport=transport,
        )
        self._connection = BlockingConnection(http, retries, tenant_id)
        super().__init__(self._connection)

    def close(self) -> None:
        """Close the connections."""
        self._connection.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class AsyncMailProxyClient(_Groups[Asynchronous]):
    """Client of a mail proxy; its calls are coroutines.

        async with AsyncMailProxyClient("http://localhost:8000", token="...") as client:
            await client.messages.add([{"id": "order-1", "from": "shop@example.com", ...}])

    Calls raise the errors of ``mail_proxy.errors``, and NoAnswer if the service cannot be reached.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        tenant_id: str | None = None,
        timeout: float = _ANSWER_SECONDS,
        retries: Retries = _USUAL,
        verify: ssl.SSLContext | bool = True,
        trust_env: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare a client of the service at ``url``; arguments as of MailProxyClient."""
        http = httpx.AsyncClient(
            base_url=url,
            headers=_headers(token),
            timeout=timeout,
            verify=verify,
            trust_env=trust_env,
            transport=transport,
        )
        self._connection = AsyncConnection(http, retries, tenant_id)
        super().__init__(self._connection)

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


def _headers(token: str | None) -> Mapping[str, Any]:
    return {} if token is None else {"X-API-Token": token}
