"""Storages of tenants, as attachments read them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Self

from mail_proxy.attachments.fetching import FetchFailed
from mail_proxy.errors import StorageError
from mail_proxy.features.feature import StepParts
from mail_proxy.features.storages.known import known_storages
from mail_proxy.storage.manager import StorageManager


class TenantMounts:
    """Files of storages; errors of a storage are those of a fetch."""

    def __init__(self, storages: StorageManager) -> None:
        self._storages = storages

    @classmethod
    def of(cls, parts: StepParts) -> Self:
        """Return the storages that this process knows."""
        return cls(known_storages(parts.directory, parts.config))

    def has(self, tenant_id: str, mount: str) -> bool:
        """Return whether a tenant has a storage of this name."""
        return self._storages.find_mount(mount, tenant_id) is not None

    async def size(self, tenant_id: str, mount: str, path: str) -> int | None:
        """Return the size of a file in octets; raises FetchFailed."""
        try:
            return await self._storages.node(f"{mount}:{path}", tenant_id=tenant_id).size()
        except StorageError as error:
            raise _failed(mount, error) from error

    async def read(self, tenant_id: str, mount: str, path: str) -> AsyncIterator[bytes]:
        """Yield the octets of a file; raises FetchFailed."""
        try:
            node = self._storages.node(f"{mount}:{path}", tenant_id=tenant_id)
            async with aclosing(node.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
        except StorageError as error:
            raise _failed(mount, error) from error


def _failed(mount: str, error: StorageError) -> FetchFailed:
    return FetchFailed(f"storage {mount!r}: {error.message}", is_temporary=error.is_temporary)
