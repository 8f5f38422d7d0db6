"""The client library against the whole service, and against a server that fails."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tests.protocols.rest.client import serving
from tests.typed import client_usage

from mail_proxy.client import (
    AsyncMailProxyClient,
    BadSignature,
    MailProxyClient,
    Message,
    NoAnswer,
    Retries,
    verify_reports,
)
from mail_proxy.config import ProxyConfig, TimingConfig
from mail_proxy.errors import (
    DatabaseUnavailable,
    Forbidden,
    Malformed,
    NotFound,
    NothingUsable,
    SeveralTenants,
    Unauthorized,
)
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint

TOKEN = "admin-token"
_SOON = Retries(first_pause_seconds=0.001, longest_pause_seconds=0.01)


def mail(id_: str, **fields: Any) -> Message:
    message: Message = {
        "id": id_,
        "from": "ann@example.org",
        "to": ["bob@example.net"],
        "subject": f"About {id_}",
        "body": "Hello Bob\n",
    }
    return {**message, **fields}  # type: ignore[typeddict-item]


@asynccontextmanager
async def service(folder: Path, **settings: Any) -> AsyncIterator[tuple[AsyncMailProxyClient, Any]]:
    """A client of a service in this process, and the transport to it."""
    key_file = folder / "encryption_key"
    key_file.write_bytes(bytes(32))
    config = ProxyConfig(
        db_path=str(folder / "mail.db"),
        key_file=key_file,
        api_token=SecretStr(TOKEN),
        timing=TimingConfig(report_delay=0.01),
        **settings,
    )
    async with serving(config) as rest:
        transport = httpx.ASGITransport(rest.app, client=("127.0.0.1", 50000))
        async with AsyncMailProxyClient("http://proxy", TOKEN, transport=transport) as client:
            yield client, transport


async def test_a_message_from_the_account_to_its_reports(tmp_path: Path) -> None:
    secret = f"whsec_{base64.b64encode(bytes(32)).decode()}"
    async with (
        ScriptedSmtpServer() as smtp,
        SyncEndpoint() as endpoint,
        service(tmp_path) as (client, _),
    ):
        await client.tenants.update("default", client_base_url=endpoint.url, signing_secret=secret)
        await client.accounts.add(id="smtp", host=smtp.host, port=smtp.port, tls="none")
        tested = await client.accounts.test("smtp")
        assert tested.ok, tested
        assert (await client.messages.add([mail("m 1/ü%2F")])).queued == 1
        call = await endpoint.wait_for_report("m 1/ü%2F")
        (report,) = verify_reports(call.body, call.headers, secret)
        assert (report.id, report.error_ts) == ("m 1/ü%2F", None)
        message = await client.messages.get("m 1/ü%2F")
        assert (message.status, message.sender) == ("sent", "ann@example.org")
        assert message.sent_ts == report.sent_ts
        kinds = [e.event_type for e in await client.messages.events("m 1/ü%2F")]
        assert kinds == ["queued", "sent"]
        with pytest.raises(BadSignature):
            verify_reports(call.body + b" ", call.headers, secret)
        with pytest.raises(BadSignature):
            verify_reports(call.body, {}, secret)
        assert (await client.messages.add([mail("m 1/ü%2F")])).duplicates[0].status == "sent"
        (log,) = [c for c in await client.tenants.sync_log("default") if c.reports]
        assert (log.outcome, log.acknowledged) == ("ok", 1)


async def test_lists_are_followed_over_their_pages(tmp_path: Path) -> None:
    async with service(tmp_path, scheduler_active=False) as (client, _):
        await client.accounts.add(id="smtp", host="127.0.0.1", tls="none")
        wanted = [f"m{number}" for number in range(5)]
        await client.messages.add(map(mail, wanted))
        page = await client.messages.list(limit=2)
        assert [m.id for m in page.messages] == ["m4", "m3"]
        found = [m.id async for m in client.messages.iterate(limit=2, order="oldest")]
        assert found == wanted
        assert [row.queued async for row in client.stats.iterate(limit=1)] == [5]
        entries = [e async for e in client.audit.export(endpoint="messages.add")]
        assert [e.operation for e in entries] == ["messages.add"]
        assert (await client.audit.get(entries[0].id)).operation == "messages.add"


async def test_errors_are_those_of_the_service(tmp_path: Path) -> None:
    async with service(tmp_path, scheduler_active=False) as (client, transport):
        with pytest.raises(NotFound):
            await client.messages.get("..")
        with pytest.raises(Malformed, match=r"port"):
            await client.accounts.add(id="smtp", host="127.0.0.1", port=0)
        with pytest.raises(NothingUsable) as refused:
            await client.messages.add([mail("m1")])
        assert refused.value.detail["rejected"][0]["code"] == "account_required"
        key = (await client.tenants.add("acme")).api_key
        async with AsyncMailProxyClient("http://proxy", key, transport=transport) as tenant:
            with pytest.raises(Forbidden):
                await tenant.tenants.list()
            with pytest.raises(Forbidden):
                _ = [entry async for entry in tenant.audit.export()]
        async with AsyncMailProxyClient("http://proxy", "wrong", transport=transport) as nobody:
            with pytest.raises(Unauthorized):
                await nobody.accounts.list()


async def test_a_client_may_have_a_tenant_of_its_own(tmp_path: Path) -> None:
    async with service(tmp_path, scheduler_active=False) as (admin, transport):
        options = {"tenant_id": "acme", "transport": transport}
        async with AsyncMailProxyClient("http://proxy", TOKEN, **options) as client:
            await admin.tenants.add("acme")
            await admin.accounts.add(id="smtp", host="127.0.0.1", tenant_id="default")
            await client.accounts.add(id="smtp", host="127.0.0.2")
            assert [a.tenant_id for a in await client.accounts.list()] == ["acme"]
            assert len(await admin.accounts.list()) == 2
            assert (await client.accounts.get("smtp", tenant_id="default")).host == "127.0.0.1"
            with pytest.raises(SeveralTenants):
                await admin.accounts.get("smtp")
            assert (await client.commands.suspend()).tenant_id == "acme"
            assert (await client.commands.activate()).suspended_batches == []
            assert (await client.tenants.list())[0].id == "acme"


async def test_the_rest_of_the_calls(tmp_path: Path) -> None:
    async with service(tmp_path, scheduler_active=False) as (client, _):
        assert (await client.instance.status(full=True)).attention is not None
        settings = (await client.instance.update(settings={"max_enqueue_batch": 7})).settings
        assert settings["max_enqueue_batch"] == 7
        assert "gmp_pending_messages" in await client.instance.metrics()
        assert (await client.instance.health()).ok
        saved = await client.dkim.add("example.org", algorithm="ed25519-sha256")
        assert [k.selector for k in await client.dkim.list()] == [saved.selector]
        await client.dkim.delete("example.org", saved.selector)
        await client.accounts.add(id="smtp", host="127.0.0.1")
        await client.messages.add([mail("m1"), mail("m2")])
        assert (await client.messages.retry(["m1"])).not_failed == ["m1"]
        assert (await client.messages.delete(["m1", "no"])).not_found == ["no"]
        assert (await client.messages.cleanup(0)).removed == 0
        assert (await client.commands.run_now()).ok
        assert len(await client.tenants.make_key("default")) == 43
        await client.tenants.revoke_key("default")
        assert (await client.tenants.sync_status()).tenants[0].id == "default"
        assert not (await client.accounts.test_unsaved(host="127.0.0.1", port=1)).ok
        await client.accounts.delete("smtp")
        assert (await client.audit.purge(10**6)).removed == 0
        exported = b"\n".join(
            [e.model_dump_json().encode() async for e in client.audit.export(endpoint="x")]
        )
        assert exported == b""


async def test_the_typed_usage_works(tmp_path: Path) -> None:
    async with service(tmp_path, scheduler_active=False) as (client, transport):
        await client_usage.asynchronous(client)
        # The blocking client in a thread calls the same service over this loop.
        bridge = _Bridge(transport, asyncio.get_running_loop())
        with MailProxyClient("http://proxy", TOKEN, transport=bridge) as other:
            await asyncio.to_thread(client_usage.blocking, other)


class _Bridge(httpx.BaseTransport):
    """Carries the requests of a thread to a transport of an event loop."""

    def __init__(self, inner: httpx.AsyncBaseTransport, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = inner
        self._loop = loop

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run_coroutine_threadsafe(self._answer(request), self._loop).result()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        wanted = httpx.Request(
            request.method, request.url, headers=request.headers, content=request.read()
        )
        answer = await self._inner.handle_async_request(wanted)
        content = await answer.aread()
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)


async def test_a_call_is_repeated_until_the_service_answers() -> None:
    added = {"queued": 1, "replaced": 0, "duplicates": [], "rejected": []}
    async with SyncEndpoint() as server:
        server.script(
            Reply({"ok": False, "code": "unavailable", "error": "no database"}, status=503),
            Reply(body=b"", status=503, headers={"Retry-After": "0"}),
            Reply(added),
        )
        async with AsyncMailProxyClient(server.url, retries=_SOON, trust_env=False) as client:
            assert (await client.messages.add([mail("m1")])).queued == 1
        bodies = [call.body for call in server.calls]
        assert len(bodies) == 3
        assert len(set(bodies)) == 1


async def test_a_blocking_call_gives_up_after_the_last_attempt() -> None:
    down = Reply({"code": "unavailable", "error": "no database"}, status=503)
    async with SyncEndpoint(down) as server:
        retries = Retries(3, first_pause_seconds=0.001)
        with MailProxyClient(server.url, retries=retries, trust_env=False) as client:
            with pytest.raises(DatabaseUnavailable, match="no database"):
                await asyncio.to_thread(client.commands.run_now)
            assert len(server.calls) == 3
            server.script(Reply(body=b"no JSON"))
            with pytest.raises(NoAnswer, match="cannot be understood"):
                await asyncio.to_thread(client.commands.run_now)
        url = server.url
    with MailProxyClient(url, retries=retries, trust_env=False) as client:
        with pytest.raises(NoAnswer, match="no answer to GET /health"):
            await asyncio.to_thread(client.instance.health)
