"""Calls about storages."""

from __future__ import annotations

from typing import Any

from mail_proxy.client.calls import Given, Group, Mode, call
from mail_proxy.client.reading import field_of, model
from mail_proxy.wire.storages import StorageAnswer, StorageSaved, StoragesOut
from mail_proxy.wire.tenants import Done


class Storages(Group[Mode]):
    """Calls about storages."""

    @call("POST", "/storage", model(StorageSaved))
    def add(
        self,
        name: str,
        *,
        protocol: str | None = None,
        config: dict[str, Any] | None = None,
        tenant_id: str | None = None,
    ) -> Given:
        """Create a storage, or change the given fields of an existing one."""
        given = {"protocol": protocol, "config": config}
        body = {k: v for k, v in given.items() if v is not None}
        return Given(body={"name": name, **body}, tenant_id=tenant_id)

    @call("GET", "/storages", field_of(StoragesOut, lambda answer: answer.storages))
    def list(self, *, tenant_id: str | None = None) -> Given:
        """Return the storages, secrets masked."""
        return Given(tenant_id=tenant_id)

    @call("GET", "/storage/{name}", field_of(StorageAnswer, lambda answer: answer.storage))
    def get(self, name: str, *, tenant_id: str | None = None) -> Given:
        """Return one storage, secrets masked."""
        return Given(path={"name": name}, tenant_id=tenant_id)

    @call("DELETE", "/storage/{name}", model(Done), repeatable=False)
    def delete(self, name: str, *, tenant_id: str | None = None) -> Given:
        """Remove a storage; its files stay."""
        return Given(path={"name": name}, tenant_id=tenant_id)
