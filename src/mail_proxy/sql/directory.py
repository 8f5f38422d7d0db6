"""Directory: tenants, accounts and run-time settings, cached in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from mail_proxy.config import ConcurrencyConfig, QueueConfig
from mail_proxy.domain.account import Account, SmtpLogin, TlsMode
from mail_proxy.domain.large_files import LargeFileConfig
from mail_proxy.domain.limits import limits
from mail_proxy.domain.oauth2 import OAuth2Settings, TokenLogin
from mail_proxy.domain.tenant import (
    DEFAULT_ATTACHMENT_PATH,
    DEFAULT_SYNC_PATH,
    QUOTAS,
    ClientAuth,
    Tenant,
)
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.table import EVERY_TENANT, Damaged, Row
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.instance import (
    directory_version,
    directory_versions,
    runtime_settings,
)


@dataclass(frozen=True)
class Snapshot:
    """All tenants, living accounts and run-time settings of one ``version``."""

    version: int = -1
    tenants: Mapping[str, Tenant] = field(default_factory=dict)
    tenants_by_key: Mapping[str, Tenant] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)
    accounts_by_id: Mapping[tuple[str, str], Account] = field(default_factory=dict)
    default_accounts: Mapping[str, Account] = field(default_factory=dict)
    queue: QueueConfig = field(default_factory=QueueConfig)
    #: Rows of features, by the name of the feature.
    features: Mapping[str, Any] = field(default_factory=dict)


#: Function of a feature that returns the rows which every process keeps in memory: the old rows
#: (None if there are none yet) with those that were written after a version of the directory.
#: After a removal it gets None and reads all rows again.
DirectoryPart = Callable[[Connection, Tables, Any, int], Any]


class Directory:
    """Cache of the ``Snapshot``, never older than the last commit seen by ``current``.

    A reload reads only tenants and accounts that have changed since the last snapshot.
    """

    def __init__(
        self,
        db: SqlDb,
        tables: Tables,
        limits: ConcurrencyConfig,
        queue: QueueConfig | None = None,
        parts: Mapping[str, DirectoryPart] | None = None,
    ) -> None:
        """Start with an empty snapshot; ``parts`` are those of features, by name."""
        self._db = db
        self._tables = tables
        self._limits = limits
        self._queue = queue or QueueConfig()
        self._parts = parts or {}
        self._loading = asyncio.Lock()
        self.snapshot = Snapshot(queue=self._queue)

    async def current(self) -> Snapshot:
        """Return the snapshot, reloaded first if the database has a newer version."""
        version = await self._db.read(directory_version)
        return await self.at_least(version)

    async def at_least(self, version: int) -> Snapshot:
        """Return the snapshot, reloaded first if its version is older than ``version``."""
        if self.snapshot.version < version:
            async with self._loading:
                if self.snapshot.version < version:
                    self.snapshot = await self._db.read(self._load)
        return self.snapshot

    def _load(self, connection: Connection) -> Snapshot:
        version, removed_at = directory_versions(connection)
        old = self.snapshot
        renewed = self._renewed(connection, old, version) if old.version >= removed_at else None
        if renewed is None:
            renewed = self._renewed(connection, Snapshot(), version) or Snapshot(version)
        # After the rows: with the wrong key they would all look damaged.
        self._tables.instance.prove_key(connection)
        return renewed

    def _renewed(self, connection: Connection, old: Snapshot, version: int) -> Snapshot | None:
        """Return ``old`` with the changes since then; None if no row has a later version.

        Programs of a release without versions of rows may still run, and write rows without one.
        """
        tenants = self._tenants(connection, old)
        table = self._tables.accounts
        changed = table.columns["directory_version"] > old.version
        # The first load leaves removed accounts out. Later loads need them as changes.
        living = {"deleted_at": None} if old.version < 0 else {}
        rows = table.select(connection, changed, tenant_id=EVERY_TENANT, **living)
        features = self._features(connection, old)
        if not rows and tenants == old.tenants and features == old.features:
            return None
        accounts, by_id = dict(old.accounts), dict(old.accounts_by_id)
        for row in rows:
            before = accounts.pop(row["pk"], None)
            if before is not None:
                del by_id[before.tenant_id, before.id]
        for row in rows:
            if row["deleted_at"] is None:
                account = self._account(row)
                accounts[account.pk] = by_id[account.tenant_id, account.id] = account
        return Snapshot(
            version=version,
            tenants=tenants,
            tenants_by_key={t.api_key_hash: t for t in tenants.values() if t.api_key_hash},
            accounts=accounts,
            accounts_by_id=by_id,
            default_accounts=_defaults(accounts, old, {row["tenant_id"] for row in rows}),
            queue=self._queue.model_copy(update=dict(runtime_settings(connection))),
            features=features,
        )

    def _features(self, connection: Connection, old: Snapshot) -> dict[str, Any]:
        return {
            name: renew(connection, self._tables, old.features.get(name), old.version)
            for name, renew in self._parts.items()
        }

    def _tenants(self, connection: Connection, old: Snapshot) -> dict[str, Tenant]:
        suspended: dict[str, set[str]] = {}
        for row in self._tables.suspensions.select(connection, tenant_id=EVERY_TENANT):
            suspended.setdefault(row["tenant_id"], set()).add(row["batch_code"])
        table = self._tables.tenants
        rows = table.select(connection, table.columns["directory_version"] > old.version)
        tenants = {**old.tenants, **{row["id"]: _tenant(row) for row in rows}}
        for id_, tenant in tenants.items():
            batches = frozenset(suspended.get(id_, ()))
            if tenant.suspended_batches != batches:
                tenants[id_] = replace(tenant, suspended_batches=batches)
        return tenants

    def _account(self, row: Row) -> Account:
        return Account(
            pk=row["pk"],
            tenant_id=row["tenant_id"],
            id=row["id"],
            is_default=row["is_default"],
            login=login_of(row, self._limits),
            limits=limits(row["limit_per_minute"], row["limit_per_hour"], row["limit_per_day"]),
            rejects_over_limit=row["limit_behavior"] == "reject",
            options=row["options"] or {},
            is_pec=row["is_pec_account"],
        )


def login_of(row: Row, most: ConcurrencyConfig) -> SmtpLogin:
    """Return the login of an account's row, within the bounds of ``most``."""
    password, auth = row["password"], row["auth"]
    method = auth["method"] if isinstance(auth, dict) else "password"
    used = password if method == "password" and not isinstance(auth, Damaged) else auth
    damage = used.reason if isinstance(used, Damaged) else None
    settings = None if damage else OAuth2Settings.from_record(auth, row["smtp_user"])
    connections = most.max_concurrent_per_account
    return SmtpLogin(
        account_pk=row["pk"],
        version=row["version"],
        host=row["host"],
        port=row["port"],
        user=None if method == "none" else row["smtp_user"],
        password=password if method == "password" and not damage else None,
        tls=TlsMode(row["tls"]),
        verify_cert=row["verify_cert"],
        ttl_seconds=row["ttl_seconds"],
        batch_size=row["batch_size"] or most.batch_size,
        max_connections=min(row["max_connections"] or connections, connections),
        damage=damage,
        private_allowed=row["private_allowed"],
        helo_name=(row["options"] or {}).get("helo_name"),
        tokens=TokenLogin(settings, row["pk"], row["version"]) if settings else None,
    )


def _tenant(row: Row) -> Tenant:
    base = (row["client_base_url"] or "").rstrip("/")
    path = row["client_sync_path"] or DEFAULT_SYNC_PATH
    attachments = row["client_attachment_path"] or DEFAULT_ATTACHMENT_PATH
    rates = row["rate_limits"] or {}
    auth = row["client_auth"]
    damage = auth.reason if isinstance(auth, Damaged) else None
    secret, previous = row["signing_secret"], row["previous_signing_secret"]
    large = row["large_file_config"]
    signing_damage = secret.reason if isinstance(secret, Damaged) else None
    return Tenant(
        id=row["id"],
        active=row["active"],
        sync_url=f"{base}{path}" if base else None,
        client_auth=ClientAuth.from_record(None if damage else auth),
        api_key_hash=row["api_key_hash"],
        api_key_expires_at=row["api_key_expires_at"],
        suspended_batches=frozenset(),
        limits=limits(hour=rates.get("hourly"), day=rates.get("daily")),
        quotas={name: row[name] for name in QUOTAS if row[name] is not None},
        signing_secret=None if signing_damage else secret,
        previous_signing_secret=None if isinstance(previous, Damaged) else previous,
        signing_secret_changed_at=row["signing_secret_changed_at"],
        private_allowed=row["private_allowed"],
        large_files=LargeFileConfig.from_record(None if isinstance(large, Damaged) else large),
        damage=damage,
        signing_damage=signing_damage,
        attachment_url=f"{base}{attachments}" if base else None,
    )


def _defaults(
    accounts: Mapping[str, Account], old: Snapshot, changed: set[str]
) -> dict[str, Account]:
    """Return each tenant's default account: the one marked as such, or the only one.

    Only ``changed`` tenants are examined; the others keep their default account.
    """
    of_tenant: dict[str, list[Account]] = {}
    for account in accounts.values():
        if account.tenant_id in changed:
            of_tenant.setdefault(account.tenant_id, []).append(account)
    chosen = {t: a for t, a in old.default_accounts.items() if t not in changed}
    for tenant_id, owned in of_tenant.items():
        marked = [a for a in owned if a.is_default]
        if marked or len(owned) == 1:
            chosen[tenant_id] = (marked or owned)[0]
    return chosen
