"""Operations on storages: save, list, get, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from mail_proxy.domain.facts import DirectoryChanged
from mail_proxy.errors import Conflict, NotFound, StorageError
from mail_proxy.features.storages.rules import merged_config, refuse_of_tenants
from mail_proxy.features.storages.table import StoragesTable
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.sql.table import EVERY_TENANT, Damaged, Row
from mail_proxy.storage.protocols import check_protocol
from mail_proxy.wire.mistakes import malformed, mistake
from mail_proxy.wire.secrets import masked_config
from mail_proxy.wire.storages import (
    StorageAnswer,
    StorageIn,
    StorageOut,
    StorageRef,
    StorageSaved,
    StoragesOut,
    checked_config,
    has_mask,
)
from mail_proxy.wire.tenants import Done

#: Every process keeps the mounts in memory.
_MOST_STORAGES = 100


async def _with_known_protocol(parts: Parts, tenant_id: str, request: StorageIn) -> StorageIn:
    """Import the library of the protocol, which takes seconds, before the transaction."""
    if request.protocol is not None:
        try:
            await asyncio.to_thread(check_protocol, request.protocol)
        except StorageError as error:
            raise malformed(mistake("protocol", error.message)) from None
    return request


@operation("storages.save", mutates=True, replayable=True, before=_with_known_protocol)
def save(context: Context, request: StorageIn) -> StorageSaved:
    """Create a storage, or change the given fields of an existing one.

    Raises Conflict if the tenant has 100 storages already.
    """
    table = context.tables.of_feature(StoragesTable)
    identity = {"tenant_id": context.tenant_id, "name": request.name}
    old = table.find(context.connection, **identity)
    values = _columns(context, request, old)
    if old is None:
        stamps = {"created_at": context.now, "updated_at": context.now}
        table.insert(context.connection, {**identity, **values, **stamps})
        # After the insert, which locks: so calls at the same time cannot exceed the limit.
        if table.count(context.connection, tenant_id=context.tenant_id) > _MOST_STORAGES:
            raise Conflict(f"the tenant has {_MOST_STORAGES} storages; more are not allowed")
    else:
        table.update(context.connection, identity, {**values, "updated_at": context.now})
    context.publish(DirectoryChanged())
    return StorageSaved(name=request.name)


def _columns(context: Context, request: StorageIn, old: Row | None) -> Row:
    """Return the columns to write, checked together with the ``old`` ones."""
    protocol = request.protocol or (old["protocol"] if old else None)
    if protocol is None or (old is None and request.config is None):
        missing = "protocol" if protocol is None else "config"
        raise malformed(mistake(missing, "required"))
    stored = _stored_config(request, old)
    given = request.config if request.config is not None else stored or {}
    is_same_protocol = old is not None and old["protocol"] == protocol
    config = checked_config(protocol, merged_config(given, stored if is_same_protocol else None))
    is_unchanged = is_same_protocol and config == stored
    trusted = context.caller.is_admin or (is_unchanged and old is not None and bool(old["trusted"]))
    if not trusted:
        refuse_of_tenants(protocol, config, context.config.attachments.attachment_roots)
    return {"protocol": protocol, "config": config, "trusted": int(trusted)}


def _stored_config(request: StorageIn, old: Row | None) -> Mapping[str, Any] | None:
    if old is None:
        return None
    if not isinstance(old["config"], Damaged):
        stored: Mapping[str, Any] = old["config"]
        return stored
    if request.config is None or has_mask(request.config):
        message = "the stored value is damaged; give all fields again"
        raise malformed(mistake("config", message))
    return None


@operation("storages.list", scope=Scope.TENANT_OR_ALL)
def list_storages(context: Context, request: None) -> StoragesOut:
    """Return the storages, secrets masked.

    They are of one tenant or, for the administrator who names none, of all.
    """
    table = context.tables.of_feature(StoragesTable)
    rows = table.of_tenant(context.connection, context.tenant_id or EVERY_TENANT)
    return StoragesOut(storages=[_shown(row) for row in rows])


@operation("storages.get")
def get(context: Context, request: StorageRef) -> StorageAnswer:
    """Return one storage, secrets masked."""
    table = context.tables.of_feature(StoragesTable)
    row = table.find(context.connection, tenant_id=context.tenant_id, name=request.name)
    if row is None:
        raise NotFound("no such storage")
    return StorageAnswer(storage=_shown(row))


@operation("storages.delete", mutates=True, replayable=True)
def delete(context: Context, request: StorageRef) -> Done:
    """Remove a storage; its files stay.

    Attachments that name it can no longer be fetched.
    """
    table = context.tables.of_feature(StoragesTable)
    if not table.delete(context.connection, tenant_id=context.tenant_id, name=request.name):
        raise NotFound("no such storage")
    context.publish(DirectoryChanged())
    return Done()


def _shown(row: Row) -> StorageOut:
    is_damaged = isinstance(row["config"], Damaged)
    return StorageOut(
        tenant_id=row["tenant_id"],
        name=row["name"],
        protocol=row["protocol"],
        config={} if is_damaged else masked_config(row["config"]),
        damaged=is_damaged,
        created_at=int(row["created_at"]),
        updated_at=int(row["updated_at"]),
    )


ALL = (save, list_storages, get, delete)
