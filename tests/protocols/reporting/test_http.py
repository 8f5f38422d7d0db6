"""How applications are called: addresses, certificates, connections, and how many at once."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
from tests.protocols.reporting.house import House, ids

from mail_proxy.network.tls import system_tls_context
from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint


async def test_an_international_name_and_a_path_in_the_base_url(
    house: House, endpoint: SyncEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the web proxy of the environment, the endpoint gets calls for every host.
    monkeypatch.setenv("http_proxy", endpoint.url)
    await house.tenant(
        client_base_url="http://bücher.example:8080/shop/", client_sync_path="/mail?from=pröxy"
    )
    await house.reporter()
    (call,) = await endpoint.wait_for(1)
    assert call.headers["host"] == "xn--bcher-kva.example:8080"
    assert call.path == "http://xn--bcher-kva.example:8080/shop/mail?from=pr%C3%B6xy"


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def https(authority: trustme.CA, name: str) -> SyncEndpoint:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return SyncEndpoint(tls=context)


@pytest.mark.parametrize(
    ("trusted", "name", "reason"),
    [
        (True, "127.0.0.1", None),
        (True, "other.example", "IP address mismatch"),
        (False, "127.0.0.1", "unable to get local issuer certificate"),
    ],
)
async def test_certificates_are_verified_with_the_authorities_of_the_machine(
    house: House,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trusted: bool,
    name: str,
    reason: str | None,
) -> None:
    if trusted:
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    system_tls_context.cache_clear()
    async with https(authority, name) as endpoint:
        await house.tenant(client_base_url=endpoint.url)
        await house.settled(await house.reporter())
    error = (await house.sync())["last_error"]
    if reason is None:
        assert (error, ids(endpoint.calls)) == (None, [[]])
    else:
        assert error.startswith("no connection: ")
        assert reason in error
        assert endpoint.calls == []


async def test_calls_that_follow_each_other_share_a_connection(house: House) -> None:
    async with SyncEndpoint(keeps_open=True) as endpoint:
        await house.tenant(client_base_url=endpoint.url)
        await house.event(["a", "b", "c"])
        reporter = await house.reporter(batch=1)
        await endpoint.wait_for(3)
        await house.stop(reporter)
        assert ids(endpoint.calls)[:3] == [["a"], ["b"], ["c"]]
        assert endpoint.connections == 1


async def test_cookies_of_one_tenant_do_not_reach_another(
    house: House, endpoint: SyncEndpoint
) -> None:
    endpoint.default = Reply(headers={"Set-Cookie": "session=secret; Path=/"})
    await house.tenant("a", client_base_url=endpoint.url)
    await house.settled(await house.reporter())
    await house.tenant("b", client_base_url=endpoint.url)
    await house.settled(house.reporters[0])
    assert ["cookie" in call.headers for call in endpoint.calls] == [False, False]


async def test_a_process_calls_so_many_tenants_at_once_and_leaves_the_others(
    house: House, endpoint: SyncEndpoint
) -> None:
    gate = asyncio.Event()
    endpoint.default = Reply(after=gate)
    tenants = [f"t{n}" for n in range(10)]
    for tenant in tenants:
        await house.tenant(tenant, client_base_url=endpoint.url)
        await house.event(["m"], tenant=tenant)
    await house.reporter("few", most_calls=4)
    await endpoint.wait_for(4)
    await house.reporter("many")
    await endpoint.wait_for(10)
    callers = [str((await house.sync(tenant))["claimed_by"]).split()[0] for tenant in tenants]
    assert sorted(callers) == ["few"] * 4 + ["many"] * 6
    gate.set()


async def test_tenants_that_found_no_room_are_called_as_soon_as_there_is_some(
    house: House, endpoint: SyncEndpoint
) -> None:
    tenants = [f"t{n}" for n in range(10)]
    for tenant in tenants:
        await house.tenant(tenant, client_base_url=endpoint.url)
        await house.event(["m"], tenant=tenant)
    await house.reporter(most_calls=1, poll_seconds=60)
    calls = await endpoint.wait_for(10)
    assert sorted(call.reports[0]["tenant_id"] for call in calls) == tenants


async def test_an_answer_that_drips_is_given_up(house: House) -> None:
    """Each byte comes in time; the whole call does not."""
    given_up = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        try:
            while not reader.at_eof():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        except OSError:
            pass
        given_up.set()
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await house.tenant(client_base_url=f"http://127.0.0.1:{port}")
        await house.reporter(call_seconds=0.3)
        async with asyncio.timeout(60):
            await given_up.wait()
        await house.settled(house.reporters[0])
    assert (await house.sync())["last_error"] == "no answer within 0.3 s"
