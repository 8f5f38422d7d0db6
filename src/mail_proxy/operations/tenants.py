"""Operations on tenants and their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mail_proxy.domain.facts import DirectoryChanged, EventsAdded
from mail_proxy.domain.tenant import (
    DEFAULT_ATTACHMENT_PATH,
    DEFAULT_SYNC_PATH,
    DEFAULT_TENANT,
    QUOTAS,
)
from mail_proxy.encryption import hash_token, new_token
from mail_proxy.errors import Conflict, Forbidden, NotFound
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.operations.places import private_allowed
from mail_proxy.sql import Connection
from mail_proxy.sql.chunks import ChunkedWork
from mail_proxy.sql.table import EVERY_TENANT, Damaged, Row
from mail_proxy.sql.tables import Tables
from mail_proxy.wire.bound_secrets import refuse_other_places
from mail_proxy.wire.mistakes import malformed, mistake
from mail_proxy.wire.secrets import MASK, kept_secrets, masked_config
from mail_proxy.wire.tenants import (
    ADMIN_FIELDS,
    PLACE,
    ApiKeyOut,
    Done,
    NewApiKey,
    SyncState,
    SyncStatusOut,
    TenantAnswer,
    TenantFields,
    TenantFilter,
    TenantIn,
    TenantOut,
    TenantRef,
    TenantSaved,
    TenantsOut,
)

#: Most messages that are removed in one transaction with their tenant.
_FEW = 500
#: A change of these may let calls to the tenant's application succeed again.
_OF_CALLS = frozenset({"client_base_url", "client_sync_path", "client_auth", "signing_secret"})


@dataclass(frozen=True)
class _Removal:
    """Tenant to remove; ``is_done`` is False if many messages must be removed first."""

    tenant_id: str
    is_done: bool


@operation("tenants.save", scope=Scope.ADMIN, mutates=True, replayable=True, command="addTenant")
def save(context: Context, request: TenantIn) -> TenantSaved:
    """Create a tenant with a new key, or change the given fields of an existing one."""
    tenants = context.tables.tenants
    context.about = request.id
    context.publish(DirectoryChanged())
    if tenants.find(context.connection, id=request.id) is not None:
        return TenantSaved(tenant=_change(context, request.id, request))
    key = new_token()
    values = {"id": request.id, "api_key_hash": hash_token(key), "created_at": context.now}
    values.update(active=True, updated_at=context.now)
    tenants.insert(context.connection, {**values, **_columns(context, request, {})})
    context.tables.tenant_sync.insert(context.connection, {"tenant_id": request.id})
    row = tenants.get(context.connection, id=request.id)
    return TenantSaved(tenant=_shown(context, row), api_key=key)


@operation(
    "tenants.update", mutates=True, replayable=True, command="updateTenant", tenant_field="id"
)
def update(context: Context, request: TenantFields) -> TenantAnswer:
    """Change the given fields of the tenant."""
    forbidden = sorted(request.model_fields_set & ADMIN_FIELDS)
    if forbidden and not context.caller.is_admin:
        raise Forbidden(f"{', '.join(forbidden)}: only the administrator can change this")
    context.publish(DirectoryChanged())
    return TenantAnswer(tenant=_change(context, context.tenant_id, request))


@operation("tenants.get", command="getTenant", tenant_field="id")
def get(context: Context, request: None) -> TenantAnswer:
    """Return the tenant, secrets masked."""
    row = context.tables.tenants.get(context.connection, id=context.tenant_id)
    return TenantAnswer(tenant=_shown(context, row))


@operation("tenants.list", scope=Scope.ADMIN, command="listTenants")
def list_tenants(context: Context, request: TenantFilter) -> TenantsOut:
    """Return all tenants in the order of their ids."""
    tenants = context.tables.tenants
    where = {"active": True} if request.active_only else {}
    rows = tenants.select(context.connection, order_by=tenants.columns["id"], **where)
    suspended: dict[str, list[str]] = {}
    for row in context.tables.suspensions.select(context.connection, tenant_id=EVERY_TENANT):
        suspended.setdefault(row["tenant_id"], []).append(row["batch_code"])
    shown = [_with_batches(row, sorted(suspended.get(row["id"], ()))) for row in rows]
    return TenantsOut(tenants=shown)


@operation("tenants.sync_status", scope=Scope.ADMIN, command="listTenantsSyncStatus")
def sync_status(context: Context, request: None) -> SyncStatusOut:
    """Return the state of the report calls to each tenant's application."""
    tenants, syncs = context.tables.tenants, context.tables.tenant_sync
    rows = tenants.select(context.connection, order_by=tenants.columns["id"])
    found = syncs.select(context.connection, tenant_id=EVERY_TENANT)
    of_tenant = {row["tenant_id"]: row for row in found}
    return SyncStatusOut(
        sync_interval_seconds=context.config.timing.sync_interval,
        tenants=[_sync_state(context, row, of_tenant.get(row["id"], {})) for row in rows],
    )


def _remove_for_good(connection: Connection, tables: Tables, tenant_id: str) -> None:
    tables.messages.remove_of_tenant(connection, tenant_id)
    tables.tenants.delete(connection, id=tenant_id)


async def _remove_the_rest(parts: Parts, order: _Removal) -> Done:
    """Remove the messages, then the tenant.

    If this is interrupted, the tenant stays inactive.
    """
    if not order.is_done:
        messages, chunks, after = parts.tables.messages, ChunkedWork(parts.db), None
        while found := await parts.db.read(messages.places, order.tenant_id, after, chunks.size):
            await chunks.one(messages.remove, [pk for _, pk in found])
            after = found[-1]
        await parts.db.write(_remove_for_good, parts.tables, order.tenant_id)
        parts.bus.publish(DirectoryChanged())
    return Done()


@operation(
    "tenants.delete",
    scope=Scope.ADMIN,
    mutates=True,
    replayable=True,
    command="deleteTenant",
    then=_remove_the_rest,
)
def delete(context: Context, request: TenantRef) -> _Removal:
    """Remove a tenant with all its data.

    A tenant with many messages is made inactive first.
    """
    context.about = request.id
    if request.id == DEFAULT_TENANT:
        raise Conflict("the tenant default cannot be removed")
    tables, connection = context.tables, context.connection
    is_small = len(tables.messages.places(connection, request.id, None, _FEW)) < _FEW
    if is_small:
        tables.messages.remove_of_tenant(connection, request.id)
        if tables.tenants.delete(connection, id=request.id) == 0:
            raise NotFound("no such tenant")
    else:
        tables.tenants.update(connection, {"id": request.id}, {"active": False})
    context.publish(DirectoryChanged())
    return _Removal(request.id, is_small)


@operation("tenants.make_key", scope=Scope.ADMIN, mutates=True)
def make_key(context: Context, request: NewApiKey) -> ApiKeyOut:
    """Make a new key; the previous one stops working with this commit."""
    if request.expires_at is not None and request.expires_at <= context.now:
        raise malformed(mistake("expires_at", "is past", request.expires_at))
    key = new_token()
    _set_key(context, request.id, hash_token(key), request.expires_at)
    return ApiKeyOut(api_key=key)


@operation("tenants.revoke_key", scope=Scope.ADMIN, mutates=True)
def revoke_key(context: Context, request: TenantRef) -> Done:
    """Revoke the tenant's key; then only the admin token reaches the tenant."""
    _set_key(context, request.id, None, None)
    return Done()


def _set_key(
    context: Context, tenant_id: str, key_hash: str | None, expires_at: float | None
) -> None:
    context.about = tenant_id
    values = {"api_key_hash": key_hash, "api_key_expires_at": expires_at}
    values["updated_at"] = context.now
    context.tables.tenants.update(context.connection, {"id": tenant_id}, values)
    context.publish(DirectoryChanged())


def _change(context: Context, tenant_id: str, request: TenantFields) -> TenantOut:
    with context.tables.tenants.record(context.connection, id=tenant_id) as row:
        row.update(_columns(context, request, row))
        row["updated_at"] = context.now
    if request.model_fields_set & _OF_CALLS:
        context.tables.tenant_sync.end_back_off(context.connection, context.now, tenant_id)
        context.publish(EventsAdded())
    return _shown(context, context.tables.tenants.get(context.connection, id=tenant_id))


def _columns(context: Context, request: TenantFields, old: Mapping[str, Any]) -> Row:
    given = request.model_dump(exclude_unset=True, exclude={"id"})
    if given.get("active", True) is None:
        del given["active"]
    if given.get("client_auth"):
        auth = _kept(given["client_auth"], old.get("client_auth")).items()
        given["client_auth"] = {k: v for k, v in auth if v is not None}
    if request.large_file_config is not None:
        given["large_file_config"] = request.large_file_config.model_dump(exclude_none=True)
    new = {**old, **given}
    refuse_other_places(request, old, new)
    given["private_allowed"] = private_allowed(context.caller, request, old, new, PLACE)
    secret = given.get("signing_secret")
    if secret == MASK:
        del given["signing_secret"]
    elif "signing_secret" in given and _is_replaced(old.get("signing_secret"), secret):
        given["previous_signing_secret"] = old["signing_secret"]
        given["signing_secret_changed_at"] = context.now
    return given


def _is_replaced(old: str | Damaged | None, new: str | None) -> bool:
    return isinstance(old, str) and old != new


def _kept(new: dict[str, Any], old: dict[str, Any] | Damaged | None) -> dict[str, Any]:
    """Put the stored secrets in the place of masked ones."""
    if isinstance(old, Damaged):
        if MASK in str(new):
            message = "the stored value is damaged; give all fields again"
            raise malformed(mistake("client_auth", message))
        old = None
    return kept_secrets(new, old)


def _shown_auth(stored: dict[str, Any] | Damaged | None) -> Any:
    if isinstance(stored, Damaged):
        return {"method": "damaged"}
    return masked_config(stored or {"method": "none"})


def _shown_large_files(stored: dict[str, Any] | Damaged | None) -> dict[str, Any] | None:
    return {"action": "damaged"} if isinstance(stored, Damaged) else stored


def _shown(context: Context, row: Row) -> TenantOut:
    suspended = context.tables.suspensions.of_tenant(context.connection, row["id"])
    return _with_batches(row, suspended)


def _with_batches(row: Row, suspended: list[str]) -> TenantOut:
    return TenantOut(
        **{name: row[name] for name in _COPIED},
        client_sync_path=row["client_sync_path"] or DEFAULT_SYNC_PATH,
        client_attachment_path=row["client_attachment_path"] or DEFAULT_ATTACHMENT_PATH,
        client_auth=_shown_auth(row["client_auth"]),
        large_file_config=_shown_large_files(row["large_file_config"]),
        suspended_batches=suspended,
        signing_secret=MASK if row["signing_secret"] else None,
        has_api_key=row["api_key_hash"] is not None,
        api_key_expires_at=_whole(row["api_key_expires_at"]),
        created_at=int(row["created_at"]),
        updated_at=int(row["updated_at"]),
    )


_COPIED = (
    "id",
    "name",
    "client_base_url",
    "active",
    "rate_limits",
    "retention_seconds",
    *QUOTAS,
)


def _sync_state(context: Context, tenant: Row, sync: Row) -> SyncState:
    quiet_until = sync.get("quiet_until")
    in_dnd = quiet_until is not None and quiet_until > context.now
    has_url = bool(tenant["client_base_url"] or context.config.client_sync.url)
    is_late = sync.get("next_due_at", 0) <= context.now
    return SyncState(
        id=tenant["id"],
        name=tenant["name"],
        active=tenant["active"],
        client_base_url=tenant["client_base_url"],
        last_sync_ts=_whole(sync.get("last_sync_at")),
        next_sync_due=tenant["active"] and has_url and is_late and not in_dnd,
        in_dnd=in_dnd,
        next_sync_after=_whole(quiet_until) if in_dnd else None,
        last_sync_error=sync.get("last_error"),
    )


def _whole(instant: float | None) -> int | None:
    return None if instant is None else int(instant)


ALL = (save, update, get, list_tenants, sync_status, delete, make_key, revoke_key)
