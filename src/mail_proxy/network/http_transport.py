"""httpx transport behind the network guard, for hosts that a tenant chose."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from mail_proxy.network.answer_bounds import BOUNDED_STREAM, MOST_BYTES, bounded_backend
from mail_proxy.network.guard import NetworkGuard, SocketAddress, first_connected


class GuardedTransport(httpx.AsyncHTTPTransport):
    """Transport that connects to permitted addresses only, and bounds their answers.

    If the environment names an outgoing proxy (``HTTPS_PROXY``), calls go through it. Then names
    are resolved there, and only hosts that are written as addresses are checked here.
    """

    def __init__(
        self,
        guard: NetworkGuard,
        context: ssl.SSLContext,
        *,
        private_allowed: bool,
        keep_alive_seconds: float,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        limits = httpx.Limits(max_connections=None, keepalive_expiry=keep_alive_seconds)
        super().__init__(verify=context, limits=limits)
        # httpx has no argument for it. If it keeps its pool elsewhere one day, this line fails.
        assert isinstance(self._pool, httpcore.AsyncConnectionPool)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,
            keepalive_expiry=keep_alive_seconds,
            network_backend=_GuardedBackend(guard, private_allowed, most_bytes),
        )
        self._guard = guard
        self._private_allowed = private_allowed
        found = getproxies()
        proxies = {scheme: found.get(scheme) or found.get("all") for scheme in ("http", "https")}
        self._proxied = {
            scheme: httpx.AsyncHTTPTransport(verify=context, limits=limits, proxy=_url(proxy))
            for scheme, proxy in proxies.items()
            if proxy
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Make a call; RefusedAddressError arrives as ``httpx.ConnectError``."""
        proxied = self._proxied.get(request.url.scheme)
        host = request.url.host
        if proxied is None or proxy_bypass(host):
            response = await super().handle_async_request(request)
            stream = response.extensions["network_stream"].get_extra_info(BOUNDED_STREAM)
            stream.begin_body()
            return response
        if not self._private_allowed:
            try:
                self._guard.refuse_written(host)
            except OSError as error:
                raise httpx.ConnectError(str(error), request=request) from error
        return await proxied.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        await super().aclose()
        for transport in self._proxied.values():
            await transport.aclose()


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, guard: NetworkGuard, private_allowed: bool, most_bytes: int) -> None:
        self._guard = guard
        self._private_allowed = private_allowed
        self._sockets = bounded_backend(most_bytes)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        async def connect(place: SocketAddress) -> httpcore.AsyncNetworkStream:
            address = str(place[1][0])
            return await self._sockets.connect_tcp(
                address, port, timeout, local_address, socket_options
            )

        try:
            async with asyncio.timeout(timeout):
                addresses = await self._guard.find(
                    host, port, private_allowed=self._private_allowed
                )
                return await first_connected(addresses, connect, httpcore.AsyncNetworkStream.aclose)
        except TimeoutError:
            raise httpcore.ConnectTimeout("no connection in time") from None
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _url(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"
