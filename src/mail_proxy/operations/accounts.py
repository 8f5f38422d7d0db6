"""SMTP accounts: create, change, list, remove."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from mail_proxy.domain.account import TlsMode
from mail_proxy.domain.facts import DirectoryChanged, EventsAdded
from mail_proxy.errors import Malformed, NotFound
from mail_proxy.kit.ids import uuid7
from mail_proxy.operations.operation import Context, operation
from mail_proxy.sql.table import Damaged, Row
from mail_proxy.wire.accounts import (
    AccountAnswer,
    AccountIn,
    AccountOut,
    AccountSaved,
    AccountsOut,
)
from mail_proxy.wire.secrets import MASK

#: Why messages of a removed account end.
DELETED = "account deleted"
_ENDED_AT_ONCE = 500
_DEFAULTS: dict[str, Any] = {
    "port": 587,
    "tls": TlsMode.AUTO.value,
    "verify_cert": True,
    "allow_insecure_auth": False,
    "ttl_seconds": 300,
    "limit_behavior": "defer",
    "is_default": False,
    "is_pec_account": False,
}


@dataclass(frozen=True)
class AccountRef:
    """An account of the tenant that the call is about."""

    id: str


@operation("accounts.save", mutates=True)
def save(context: Context, request: AccountIn) -> AccountSaved:
    """Create an account, or change the given fields of an old one.

    Saving lifts a pause, and connections that are open are not used for new messages.
    """
    accounts, connection = context.tables.accounts, context.connection
    old = accounts.find_living(connection, context.tenant_id, request.id)
    if old is None:
        pk = uuid7()
        values = _wanted(context, request, None)
        stamps = {"created_at": context.now, "updated_at": context.now}
        identity = {"pk": pk, "tenant_id": context.tenant_id, "id": request.id}
        accounts.insert(connection, {**_DEFAULTS, **values, **identity, **stamps})
    else:
        pk = old["pk"]
        # Locked, so that of two saves at the same time each makes a version of its own.
        with accounts.record(connection, **_identity(old), deleted_at=None) as row:
            row.update(_wanted(context, request, row))
            row.update(version=row["version"] + 1, updated_at=context.now)
        context.tables.health.heal(connection, pk)
    context.after_commit.append(DirectoryChanged())
    return AccountSaved(id=request.id, pk=pk)


def _wanted(context: Context, request: AccountIn, old: Row | None) -> Row:
    """The columns to write, checked together with the ``old`` ones."""
    given = request.columns(request.port or (old["port"] if old else _DEFAULTS["port"]))
    # An explicit null of a field that cannot be empty means its default.
    given.update({k: v for k, v in _DEFAULTS.items() if k in given and given[k] is None})
    _check({**_DEFAULTS, **(old or {}), **given})
    if given.get("is_default"):
        _unset_default(context, request.id)
    return given


@operation("accounts.list")
def list_accounts(context: Context, request: None) -> AccountsOut:
    """The tenant's accounts in the order of their ids, secrets masked."""
    accounts = context.tables.accounts
    rows = accounts.select(
        context.connection,
        tenant_id=context.tenant_id,
        deleted_at=None,
        order_by=accounts.columns["id"],
    )
    troubled = context.tables.health.of_tenant(context.connection, context.tenant_id)
    return AccountsOut(accounts=[_shown(row, troubled.get(row["pk"])) for row in rows])


@operation("accounts.get")
def get(context: Context, request: AccountRef) -> AccountAnswer:
    """One account, secrets masked."""
    row = _living(context, request.id)
    troubled = context.tables.health.of_tenant(context.connection, context.tenant_id)
    return AccountAnswer(account=_shown(row, troubled.get(row["pk"])))


@operation("accounts.delete", mutates=True)
def delete(context: Context, request: AccountRef) -> str | None:
    """Remove an account; the first messages that wait for it end in error and are reported.

    Returns its pk where more of them may be left.
    """
    identity = _identity(_living(context, request.id))
    with context.tables.accounts.record(context.connection, **identity, deleted_at=None) as row:
        row.update(deleted_at=context.now, is_default=False, version=row["version"] + 1)
        row.update(password=None, imap_password=None)
    pk: str = identity["pk"]
    ended = context.tables.given_up.of_account(
        context.connection, pk, DELETED, context.now, _ENDED_AT_ONCE
    )
    context.after_commit += [DirectoryChanged(), EventsAdded()]
    return pk if ended == _ENDED_AT_ONCE else None


def _living(context: Context, account_id: str) -> Row:
    row = context.tables.accounts.find_living(context.connection, context.tenant_id, account_id)
    if row is None:
        raise NotFound("no such account")
    return row


def _identity(row: Row) -> Row:
    return {name: row[name] for name in ("pk", "tenant_id")}


def _check(wanted: Row) -> None:
    if not wanted.get("host"):
        detail = [{"field": "host", "message": "required", "value": None}]
        raise Malformed("host: required", detail)
    clear = wanted["tls"] == TlsMode.NONE and wanted.get("password")
    if clear and not wanted["allow_insecure_auth"] and not _is_loopback(wanted["host"]):
        detail = [{"field": "tls", "message": "password in the clear", "value": "none"}]
        raise Malformed(
            "tls: none would send the password in the clear; use auto, starttls or ssl, or set "
            "allow_insecure_auth",
            detail,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in ("localhost", "localhost.")


def _unset_default(context: Context, but: str) -> None:
    accounts = context.tables.accounts
    marked = accounts.select(
        context.connection, tenant_id=context.tenant_id, is_default=True, deleted_at=None
    )
    for row in marked:
        if row["id"] != but:
            accounts.update(context.connection, _identity(row), {"is_default": False})


def _shown(row: Row, trouble: Row | None) -> AccountOut:
    copied = {name: row[name] for name in AccountOut.model_fields if name in row}
    copied.update(
        user=row["smtp_user"],
        ttl=row["ttl_seconds"],
        password=MASK if row["password"] else None,
        imap_password=MASK if row["imap_password"] else None,
        created_at=int(row["created_at"]),
        updated_at=int(row["updated_at"]),
    )
    damage = next((v.reason for v in row.values() if isinstance(v, Damaged)), None)
    return AccountOut(
        **copied,
        health="ok" if trouble is None and damage is None else "paused",
        last_error=damage or (None if trouble is None else trouble["last_error"]),
    )
