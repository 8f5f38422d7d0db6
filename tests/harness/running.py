"""The whole service inside a test: real parts, a database of its own, SMTP on loopback."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.harness.patience import PATIENCE_SECONDS

from mail_proxy import MailProxy, ProxyConfig
from mail_proxy.features.storages import operations as storages
from mail_proxy.kit.clock import Clock
from mail_proxy.operations import accounts, intake, messages, service, tenants
from mail_proxy.operations.callers import Caller
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.wire.accounts import AccountIn, AccountRef
from mail_proxy.wire.batches import AddMessagesOut, parse_batch
from mail_proxy.wire.messages import EventOut, Ids, MessageOut, MessageRef
from mail_proxy.wire.service import Status, StatusQuery
from mail_proxy.wire.storages import StorageIn
from mail_proxy.wire.tenants import TenantIn

KEY = bytes(range(32))
ADMIN_TOKEN = "the-admin-token"
_ADMIN = Caller(None)
#: A test that needs more than one of these within its time would wait in vain: nothing may
#: depend on polling.
SLOW_POLL = {"send_loop_interval": 3 * PATIENCE_SECONDS, "report_delay": 0.0}


def settings(database_url: str, folder: Path, **changes: Any) -> ProxyConfig:
    """Settings of a test's instance; groups are given as dictionaries."""
    changes["timing"] = {**SLOW_POLL, **changes.get("timing", {})}
    defaults: dict[str, Any] = {"api_token": ADMIN_TOKEN, "key_file": key_file(folder)}
    return ProxyConfig(**{"db_path": database_url, **defaults, **changes})


def key_file(folder: Path) -> Path:
    """The same key for every proxy of a test."""
    file = folder / "encryption_key"
    file.write_bytes(KEY)
    return file


class Reports:
    """Takes the delivery reports in the application's place."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._arrived = asyncio.Condition()

    async def __call__(self, payload: dict[str, Any]) -> dict[str, Any]:
        async with self._arrived:
            self.entries += payload["delivery_report"]
            self._arrived.notify_all()
        return {"ok": True}

    async def wait_for(self, kind: str, *ids: str, times: int = 1) -> list[dict[str, Any]]:
        """The reports of ``kind`` for these messages, once each has come ``times`` times."""

        def found() -> list[dict[str, Any]]:
            return [e for e in self.entries if e["id"] in ids and f"{kind}_ts" in e]

        def complete() -> bool:
            counts = [e["id"] for e in found()]
            return all(counts.count(i) >= times for i in ids)

        async with asyncio.timeout(PATIENCE_SECONDS), self._arrived:
            await self._arrived.wait_for(complete)
        return found()

    async def sent(self, *ids: str) -> None:
        await self.wait_for("sent", *ids)

    async def error(self, id_: str) -> str:
        """The text of the message's final error."""
        return str((await self.wait_for("error", id_))[0]["error"])

    def kinds(self, id_: str) -> list[str]:
        """What was told about a message, in order."""
        names = {"sent_ts": "sent", "error_ts": "error", "deferred_ts": "deferred"}
        return [k for e in self.entries if e["id"] == id_ for n, k in names.items() if n in e]


class Post:
    """A running proxy as its owner uses it from Python."""

    def __init__(self, proxy: MailProxy, reports: Reports) -> None:
        self.proxy = proxy
        self.reports = reports

    async def account(
        self, server: ScriptedSmtpServer | int, id_: str = "smtp", **fields: Any
    ) -> str:
        """Save an account for a server, or for whatever is at a port; returns its pk."""
        port = server if isinstance(server, int) else server.port
        given = {"id": id_, "host": "127.0.0.1", "port": port, "tls": "none", **fields}
        request = AccountIn.model_validate(given)
        saved = await self.proxy.door.call(accounts.save, _ADMIN, request, request.tenant_id)
        return saved.pk

    async def remove_account(self, id_: str = "smtp") -> None:
        await self.proxy.door.call(accounts.delete, _ADMIN, AccountRef(id=id_))

    async def tenant(self, id_: str, **fields: Any) -> str | None:
        """Save a tenant; returns its key when it is new."""
        request = TenantIn.model_validate({"id": id_, **fields})
        return (await self.proxy.door.call(tenants.save, _ADMIN, request)).api_key

    async def storage(self, name: str, protocol: str, config: dict[str, Any]) -> None:
        request = StorageIn(name=name, protocol=protocol, config=config)
        await self.proxy.door.call(storages.save, _ADMIN, request)

    async def add(self, *records: dict[str, Any], **call: Any) -> AddMessagesOut:
        batch = parse_batch({"messages": list(records), **call}, 100_000)
        return await self.proxy.door.call(intake.add, _ADMIN, batch)

    async def delete(self, *ids: str) -> Any:
        return await self.proxy.door.call(messages.delete, _ADMIN, Ids(ids=list(ids)))

    async def status(self) -> Status:
        return await self.proxy.door.call(service.status, _ADMIN, StatusQuery())

    async def run_now(self) -> None:
        await self.proxy.door.call(service.run_now, _ADMIN, None)

    async def message(self, id_: str, tenant: str | None = None) -> MessageOut:
        which = MessageRef(id=id_)
        return (await self.proxy.door.call(messages.get, _ADMIN, which, tenant)).message

    async def events(self, id_: str, tenant: str | None = None) -> list[EventOut]:
        which = MessageRef(id=id_)
        return (await self.proxy.door.call(messages.events, _ADMIN, which, tenant)).events

    async def in_state(self, id_: str, status: str, tenant: str | None = None) -> MessageOut:
        """The message, once it has this status."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (shown := await self.message(id_, tenant)).status != status:
                await asyncio.sleep(0.01)
        return shown


@asynccontextmanager
async def running(
    config: ProxyConfig, *, reports: Reports | None = None, clock: Clock | None = None
) -> AsyncIterator[Post]:
    """A proxy that has started, and is stopped at the end."""
    told = reports or Reports()
    async with await MailProxy.create(config, report_delivery_callable=told, clock=clock) as proxy:
        yield Post(proxy, told)


def mail(id_: str = "m1", **fields: Any) -> dict[str, Any]:
    """A small good message as a client hands it in."""
    return {
        "id": id_,
        "from": "Ann <ann@example.org>",
        "to": ["bob@example.net"],
        "subject": f"About {id_}",
        "body": "Hello Bob\n",
        **fields,
    }


async def eventually(condition: Callable[[], bool]) -> None:
    """Return once ``condition`` holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


def delivering(parent: int | None = None) -> set[int]:
    """The living processes that deliver for a process, this one where none is named."""
    found = set()
    for task in Path(f"/proc/{parent or os.getpid()}/task").iterdir():
        # Threads and processes may end meanwhile.
        with suppress(FileNotFoundError, ProcessLookupError):
            for pid in (task / "children").read_text().split():
                with suppress(FileNotFoundError, ProcessLookupError):
                    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                    if b"mail_proxy.workers" in command:
                        found.add(int(pid))
    return found
