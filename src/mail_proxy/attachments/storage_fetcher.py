"""Attachments in the named storages of a tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from mail_proxy.attachments.fetching import Draft, FetchRequest
from mail_proxy.kit.side_thread import SideThread


class Mounts(Protocol):
    """The storages of all tenants, by tenant and name."""

    def has(self, tenant_id: str, mount: str) -> bool:
        """Return whether a tenant has a storage of this name."""

    def read(self, tenant_id: str, mount: str, path: str) -> AsyncIterator[bytes]:
        """Yield the octets of a file in pieces of less than a MB; raises FetchFailed."""

    async def size(self, tenant_id: str, mount: str, path: str) -> int | None:
        """Return the size of a file in octets, None if unknown; raises FetchFailed."""


class StorageFetcher:
    """Reads files of storages."""

    def __init__(self, mounts: Mounts, beside: SideThread) -> None:
        self._mounts = mounts
        self._beside = beside

    async def fetch(self, request: FetchRequest, draft: Draft) -> None:
        mount, _, path = request.attachment.reference.partition(":")
        tenant_id = request.tenant.id
        size = await self._mounts.size(tenant_id, mount, path)
        if size is not None:
            draft.expect(size)
        async for piece in self._mounts.read(tenant_id, mount, path):
            await self._beside.run(draft.write, piece)
        if size is not None:
            draft.check_size(size)
