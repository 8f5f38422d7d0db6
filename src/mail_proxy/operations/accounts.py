"""Operations on SMTP accounts: save, list, get, delete."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mail_proxy.domain.account import TlsMode
from mail_proxy.domain.facts import DirectoryChanged, EventsAdded
from mail_proxy.domain.networks import is_loopback
from mail_proxy.domain.oauth2 import METHOD
from mail_proxy.domain.tenant import DEFAULT_TENANT
from mail_proxy.errors import Conflict, NotFound
from mail_proxy.kit.ids import uuid7
from mail_proxy.operations.account_auth import shown_auth, stored_auth
from mail_proxy.operations.account_mailboxes import check_mailbox
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.operations.places import private_allowed
from mail_proxy.operations.whose import of_one_tenant
from mail_proxy.sql import Connection
from mail_proxy.sql.chunks import ChunkedWork
from mail_proxy.sql.table import EVERY_TENANT, Damaged, Row
from mail_proxy.sql.tables.mailboxes import MailboxState, mailbox_of_account
from mail_proxy.telemetry.log import Action, log
from mail_proxy.wire.accounts import (
    DEFAULT_FOLDER,
    DEFAULT_IMAP_PORT,
    PLACE,
    AccountAnswer,
    AccountIn,
    AccountOut,
    AccountRef,
    AccountSaved,
    AccountsOut,
)
from mail_proxy.wire.bound_secrets import refuse_other_places
from mail_proxy.wire.mistakes import malformed, mistake
from mail_proxy.wire.secrets import MASK
from mail_proxy.wire.tenants import Done

#: Error of the messages that waited for a removed account.
DELETED = "account deleted"
_GIVEN_UP_AT_ONCE = 500
DEFAULTS: dict[str, Any] = {
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
class _Removal:
    """A removed account, some of whose waiting messages are given up: ``ended``."""

    account_pk: str
    tenant_id: str
    account_id: str
    ended: int


@dataclass(frozen=True)
class _Saved:
    """A saved account; ``resumed`` if it was paused before."""

    answer: AccountSaved
    tenant_id: str
    resumed: bool


async def _after_saving(parts: Parts, saved: _Saved) -> AccountSaved:
    if saved.resumed:
        log(Action.ACCOUNT_RESUMED, tenant_id=saved.tenant_id, account_id=saved.answer.id)
    return saved.answer


@operation("accounts.save", mutates=True, replayable=True, command="addAccount", then=_after_saving)
def save(context: Context, request: AccountIn) -> _Saved:
    """Create an account, or change the given fields of an existing one.

    Saving ends a pause of the account. Open connections are not used for new messages.
    """
    accounts, connection = context.tables.accounts, context.connection
    if request.is_default:
        _unset_default(context, request.id)
    old = accounts.find_living(connection, context.tenant_id, request.id)
    troubled_since = None
    if old is None:
        owned = _count(context)
        pk = uuid7()
        values = wanted_columns(context, request, None)
        if owned == 0 and request.is_default is not False:
            values["is_default"] = True
        stamps = {"created_at": context.now, "updated_at": context.now}
        identity = {"pk": pk, "tenant_id": context.tenant_id, "id": request.id}
        accounts.insert(connection, {**DEFAULTS, **values, **identity, **stamps})
        # After the insert, which locks: so calls at the same time cannot exceed the quota.
        _check_quota(context)
    else:
        pk = old["pk"]
        # The lock gives each of two simultaneous saves a version of its own.
        with accounts.record(connection, **_identity(old), deleted_at=None) as row:
            row.update(wanted_columns(context, request, row))
            row.update(version=row["version"] + 1, updated_at=context.now)
        troubled_since = context.tables.health.heal(connection, pk)
    context.publish(DirectoryChanged())
    answer = AccountSaved(id=request.id, pk=pk)
    return _Saved(answer, context.tenant_id, resumed=troubled_since is not None)


def _count(context: Context) -> int:
    """Return how many accounts the tenant has."""
    return context.tables.accounts.count(
        context.connection, tenant_id=context.tenant_id, deleted_at=None
    )


def _check_quota(context: Context) -> None:
    """Raise Conflict if the tenant has more accounts than it may have."""
    owned = _count(context)
    own = context.tables.tenants.get(context.connection, id=context.tenant_id)["max_accounts"]
    most = context.config.quotas.max_accounts if own is None else own
    if owned > most:
        raise Conflict(f"the tenant has {owned - 1} accounts; allowed: {most} (max_accounts)")


def wanted_columns(context: Context, request: AccountIn, old: Row | None) -> Row:
    """Return the columns to write, checked together with the ``old`` ones."""
    given = request.columns(request.port or (old["port"] if old else DEFAULTS["port"]))
    # An explicit null of a field that cannot be empty means its default.
    given.update({k: v for k, v in DEFAULTS.items() if k in given and given[k] is None})
    given["options"] = request.options(old["options"] if old else None)
    if "auth" in request.model_fields_set:
        given["auth"] = stored_auth(context.caller, request, old)
    wanted = {**DEFAULTS, **(old or {}), **given}
    _check(wanted)
    refuse_other_places(request, old or {}, wanted)
    given["private_allowed"] = private_allowed(context.caller, request, old or {}, wanted, PLACE)
    check_mailbox(context.caller, request, old or {}, wanted)
    given["options"] = wanted["options"]
    return given


@operation("accounts.list", scope=Scope.TENANT_OR_ALL, command="listAccounts")
def list_accounts(context: Context, request: None) -> AccountsOut:
    """Return the accounts in the order of their ids, secrets masked.

    They are of one tenant or, for the administrator who names none, of all.
    """
    accounts = context.tables.accounts
    rows = accounts.select(
        context.connection,
        tenant_id=context.tenant_id or EVERY_TENANT,
        deleted_at=None,
        order_by=accounts.columns["id"],
    )
    rows.sort(key=lambda row: (row["tenant_id"] != DEFAULT_TENANT, row["tenant_id"]))
    paused = context.tables.health.among(context.connection, [row["pk"] for row in rows])
    read = _mailboxes(context, rows)
    return AccountsOut(
        accounts=[_shown(row, paused.get(row["pk"]), read.get(row["pk"])) for row in rows]
    )


@operation("accounts.get", scope=Scope.TENANT_OR_ALL)
def get(context: Context, request: AccountRef) -> AccountAnswer:
    """Return one account, secrets masked.

    Raises SeveralTenants for an administrator's call that names no tenant, if several have it.
    """
    if not context.tenant_id:
        accounts, every = context.tables.accounts, EVERY_TENANT
        rows = accounts.select(context.connection, tenant_id=every, id=request.id, deleted_at=None)
        context = of_one_tenant(context, sorted(row["tenant_id"] for row in rows), "account")
    row = find_living(context, request.id)
    paused = context.tables.health.of_tenant(context.connection, context.tenant_id)
    read = _mailboxes(context, [row])
    return AccountAnswer(account=_shown(row, paused.get(row["pk"]), read.get(row["pk"])))


async def _give_up_the_rest(parts: Parts, order: _Removal) -> Done:
    """Give up the messages that still wait.

    If this is interrupted, retention goes on with it.
    """
    ended = order.ended
    if ended >= _GIVEN_UP_AT_ONCE:
        now, given_up = parts.clock.now(), parts.tables.given_up

        def give_up(connection: Connection, most: int) -> int:
            return given_up.of_account(connection, order.account_pk, DELETED, now, most)

        ended += await ChunkedWork(parts.db).all(give_up)
        parts.bus.publish(EventsAdded())
    if ended:
        log(
            Action.MESSAGES_GIVEN_UP,
            tenant_id=order.tenant_id,
            account_id=order.account_id,
            messages=ended,
            reason=DELETED,
        )
    return Done()


@operation(
    "accounts.delete",
    mutates=True,
    replayable=True,
    command="deleteAccount",
    then=_give_up_the_rest,
)
def delete(context: Context, request: AccountRef) -> _Removal:
    """Remove an account; the messages that wait for it end in error and are reported."""
    identity = _identity(find_living(context, request.id))
    with context.tables.accounts.record(context.connection, **identity, deleted_at=None) as row:
        row.update(deleted_at=context.now, is_default=False, version=row["version"] + 1)
        row.update(password=None, imap_password=None, auth=None)
    pk: str = identity["pk"]
    context.tables.mailboxes.forget(context.connection, mailbox_of_account(pk))
    ended = context.tables.given_up.of_account(
        context.connection, pk, DELETED, context.now, _GIVEN_UP_AT_ONCE
    )
    context.publish(DirectoryChanged(), EventsAdded())
    return _Removal(pk, context.tenant_id, request.id, ended)


def find_living(context: Context, account_id: str) -> Row:
    row = context.tables.accounts.find_living(context.connection, context.tenant_id, account_id)
    if row is None:
        raise NotFound("no such account")
    return row


def _identity(row: Row) -> Row:
    return {name: row[name] for name in ("pk", "tenant_id")}


def _check(wanted: Row) -> None:
    if not wanted.get("host"):
        raise malformed(mistake("host", "required"))
    auth = wanted.get("auth")
    with_tokens = isinstance(auth, dict) and auth["method"] == METHOD
    if with_tokens and not wanted.get("smtp_user"):
        raise malformed(mistake("user", "required for oauth2: the mailbox"))
    clear = wanted["tls"] == TlsMode.NONE and (wanted.get("password") or with_tokens)
    if clear and not wanted["allow_insecure_auth"] and not is_loopback(wanted["host"]):
        message = "none would send the password in the clear; allowed: auto, starttls, ssl, or "
        raise malformed(mistake("tls", f"{message}none with allow_insecure_auth", "none"))


def _unset_default(context: Context, but: str) -> None:
    accounts = context.tables.accounts
    marked = accounts.select(
        context.connection, tenant_id=context.tenant_id, is_default=True, deleted_at=None
    )
    for row in marked:
        if row["id"] != but:
            accounts.update(context.connection, _identity(row), {"is_default": False})


def _mailboxes(context: Context, rows: Iterable[Row]) -> dict[str, MailboxState]:
    """Return the states of the mailboxes of PEC accounts, by account."""
    names = {mailbox_of_account(row["pk"]): row["pk"] for row in rows if row["is_pec_account"]}
    if not names:
        return {}
    states = context.tables.mailboxes.states(context.connection)
    return {names[state.name]: state for state in states if state.name in names}


def _mailbox_shown(row: Row, state: MailboxState | None) -> Row:
    if not row["is_pec_account"]:
        return {"imap_password": MASK if row["imap_password"] else None}
    checked = None if state is None else state.checked_at
    return {
        "imap_port": row["imap_port"] or DEFAULT_IMAP_PORT,
        "imap_folder": row["imap_folder"] or DEFAULT_FOLDER,
        "imap_password": MASK if row["imap_password"] else None,
        "imap_error": state and state.error,
        "imap_checked_ts": None if checked is None else int(checked),
    }


def _shown(row: Row, pause: Row | None, mailbox: MailboxState | None) -> AccountOut:
    copied = {n: row[n] for n in AccountOut.model_fields if n in row and n != "auth"}
    copied.update(
        **(row["options"] or {}),
        user=row["smtp_user"],
        ttl=row["ttl_seconds"],
        password=MASK if row["password"] else None,
        **_mailbox_shown(row, mailbox),
        auth=shown_auth(row),
        created_at=int(row["created_at"]),
        updated_at=int(row["updated_at"]),
    )
    damage = next((v.reason for v in row.values() if isinstance(v, Damaged)), None)
    return AccountOut(
        **copied,
        health="ok" if pause is None and damage is None else "paused",
        last_error=damage or (None if pause is None else pause["last_error"]),
    )


ALL = (save, list_accounts, get, delete)
