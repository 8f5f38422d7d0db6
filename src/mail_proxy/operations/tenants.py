"""Tenants: create, change, keys, remove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mail_proxy.domain.facts import DirectoryChanged, EventsAdded
from mail_proxy.domain.tenant import DEFAULT_ATTACHMENT_PATH, DEFAULT_SYNC_PATH, DEFAULT_TENANT
from mail_proxy.encryption import hash_token, new_token
from mail_proxy.errors import Conflict, Forbidden, Malformed, NotFound
from mail_proxy.operations.operation import Context, operation
from mail_proxy.sql.table import EVERY_TENANT, Damaged, Row
from mail_proxy.wire.secrets import MASK, kept_secrets, masked_config
from mail_proxy.wire.tenants import (
    ADMIN_FIELDS,
    ApiKeyIn,
    ApiKeyOut,
    Done,
    SyncState,
    SyncStatusOut,
    TenantAnswer,
    TenantFields,
    TenantIn,
    TenantOut,
    TenantSaved,
    TenantsOut,
)

#: So many messages go together with their tenant.
_FEW = 500
#: What may have been the reason why calls to the tenant's application failed.
_OF_CALLS = frozenset({"client_base_url", "client_sync_path", "client_auth", "signing_secret"})


@dataclass(frozen=True)
class TenantFilter:
    """``active_only`` leaves out those that are switched off."""

    active_only: bool = False


@dataclass(frozen=True)
class ForTenant:
    """A request about a tenant that is named in the path."""

    id: str
    request: Any = None


@operation("tenants.save", admin_only=True, mutates=True)
def save(context: Context, request: TenantIn) -> TenantSaved:
    """Create a tenant with a key of its own, or change the given fields of an old one."""
    tenants = context.tables.tenants
    context.about = request.id
    context.after_commit.append(DirectoryChanged())
    if tenants.find(context.connection, id=request.id) is not None:
        return TenantSaved(tenant=_change(context, request.id, request))
    key = new_token()
    values = {"id": request.id, "api_key_hash": hash_token(key), "created_at": context.now}
    values.update(active=True, updated_at=context.now)
    tenants.insert(context.connection, {**values, **_columns(context, request, {})})
    context.tables.tenant_sync.insert(context.connection, {"tenant_id": request.id})
    row = tenants.get(context.connection, id=request.id)
    return TenantSaved(tenant=_shown(context, row), api_key=key)


@operation("tenants.update", mutates=True)
def update(context: Context, request: TenantFields) -> TenantAnswer:
    """Change the given fields of the tenant."""
    forbidden = sorted(request.model_fields_set & ADMIN_FIELDS)
    if forbidden and not context.caller.is_admin:
        raise Forbidden(f"{', '.join(forbidden)}: only the administrator can change this")
    context.after_commit.append(DirectoryChanged())
    return TenantAnswer(tenant=_change(context, context.tenant_id, request))


@operation("tenants.get")
def get(context: Context, request: None) -> TenantAnswer:
    """The tenant, secrets masked."""
    row = context.tables.tenants.get(context.connection, id=context.tenant_id)
    return TenantAnswer(tenant=_shown(context, row))


@operation("tenants.list", admin_only=True)
def list_tenants(context: Context, request: TenantFilter) -> TenantsOut:
    """All tenants in the order of their ids."""
    tenants = context.tables.tenants
    where = {"active": True} if request.active_only else {}
    rows = tenants.select(context.connection, order_by=tenants.columns["id"], **where)
    return TenantsOut(tenants=[_shown(context, row) for row in rows])


@operation("tenants.sync_status", admin_only=True)
def sync_status(context: Context, request: None) -> SyncStatusOut:
    """Where the conversation with each tenant's application stands."""
    tenants, syncs = context.tables.tenants, context.tables.tenant_sync
    rows = tenants.select(context.connection, order_by=tenants.columns["id"])
    found = syncs.select(context.connection, tenant_id=EVERY_TENANT)
    of_tenant = {row["tenant_id"]: row for row in found}
    return SyncStatusOut(
        sync_interval_seconds=context.config.timing.sync_interval,
        tenants=[_sync_state(context, row, of_tenant.get(row["id"], {})) for row in rows],
    )


@operation("tenants.delete", admin_only=True, mutates=True)
def delete(context: Context, request: ForTenant) -> bool:
    """Remove a tenant with all its data; or, with many messages, switch it off before that.

    Returns whether it is gone.
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
    context.after_commit.append(DirectoryChanged())
    return is_small


@operation("tenants.make_key", admin_only=True, mutates=True)
def make_key(context: Context, request: ForTenant) -> ApiKeyOut:
    """A new key; the old one stops working with this commit."""
    wanted: ApiKeyIn = request.request or ApiKeyIn()
    if wanted.expires_at is not None and wanted.expires_at <= context.now:
        detail = [{"field": "expires_at", "message": "is past", "value": wanted.expires_at}]
        raise Malformed("expires_at: must be in the future", detail)
    key = new_token()
    _set_key(context, request.id, hash_token(key), wanted.expires_at)
    return ApiKeyOut(api_key=key)


@operation("tenants.revoke_key", admin_only=True, mutates=True)
def revoke_key(context: Context, request: ForTenant) -> Done:
    """Without a key the tenant is reached with the admin token only."""
    _set_key(context, request.id, None, None)
    return Done()


def _set_key(
    context: Context, tenant_id: str, key_hash: str | None, expires_at: float | None
) -> None:
    context.about = tenant_id
    values = {"api_key_hash": key_hash, "api_key_expires_at": expires_at}
    values["updated_at"] = context.now
    context.tables.tenants.update(context.connection, {"id": tenant_id}, values)
    context.after_commit.append(DirectoryChanged())


def _change(context: Context, tenant_id: str, request: TenantFields) -> TenantOut:
    with context.tables.tenants.record(context.connection, id=tenant_id) as row:
        row.update(_columns(context, request, row))
        row["updated_at"] = context.now
    if request.model_fields_set & _OF_CALLS:
        context.tables.tenant_sync.end_back_off(context.connection, context.now, tenant_id)
        context.after_commit.append(EventsAdded())
    return _shown(context, context.tables.tenants.get(context.connection, id=tenant_id))


def _columns(context: Context, request: TenantFields, old: Mapping[str, Any]) -> Row:
    given = request.model_dump(exclude_unset=True, exclude={"id"})
    if given.get("active", True) is None:
        del given["active"]
    for name in ("client_auth", "large_file_config"):
        if given.get(name):
            given[name] = _kept(name, given[name], old.get(name))
    if given.get("client_auth"):
        auth = given["client_auth"].items()
        given["client_auth"] = {k: v for k, v in auth if v is not None}
    secret = given.get("signing_secret")
    if secret == MASK:
        del given["signing_secret"]
    elif "signing_secret" in given and _is_another(old.get("signing_secret"), secret):
        given["previous_signing_secret"] = old["signing_secret"]
        given["signing_secret_changed_at"] = context.now
    return given


def _is_another(old: str | Damaged | None, new: str | None) -> bool:
    return isinstance(old, str) and old != new


def _kept(name: str, new: dict[str, Any], old: dict[str, Any] | Damaged | None) -> dict[str, Any]:
    """A masked value that is written back leaves the stored one as it was."""
    if isinstance(old, Damaged):
        if MASK in str(new):
            raise Malformed(f"{name}: what is stored is damaged; give all of it anew")
        old = None
    return kept_secrets(new, old)


def _shown_object(stored: dict[str, Any] | Damaged | None, if_damaged: dict[str, Any]) -> Any:
    return if_damaged if isinstance(stored, Damaged) else masked_config(stored)


def _shown(context: Context, row: Row) -> TenantOut:
    return TenantOut(
        **{name: row[name] for name in _COPIED},
        client_sync_path=row["client_sync_path"] or DEFAULT_SYNC_PATH,
        client_attachment_path=row["client_attachment_path"] or DEFAULT_ATTACHMENT_PATH,
        client_auth=_shown_object(row["client_auth"] or {"method": "none"}, {"method": "damaged"}),
        large_file_config=_shown_object(row["large_file_config"], {"damaged": True}),
        suspended_batches=context.tables.suspensions.of_tenant(context.connection, row["id"]),
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
