"""Tenants, accounts and run-time settings in memory, as the hot paths read them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection

from mail_proxy.config import ConcurrencyConfig, QueueConfig
from mail_proxy.domain.account import Account, SmtpLogin, TlsMode
from mail_proxy.domain.limits import limits
from mail_proxy.domain.tenant import DEFAULT_SYNC_PATH, ClientAuth, Tenant
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.table import EVERY_TENANT, Damaged, Row
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.instance import directory_version, runtime_settings


@dataclass(frozen=True)
class Snapshot:
    """All tenants, living accounts and settings as they were at one ``version``."""

    version: int = -1
    tenants: Mapping[str, Tenant] = field(default_factory=dict)
    tenants_by_key: Mapping[str, Tenant] = field(default_factory=dict)
    accounts: Mapping[str, Account] = field(default_factory=dict)
    accounts_by_id: Mapping[tuple[str, str], Account] = field(default_factory=dict)
    default_accounts: Mapping[str, Account] = field(default_factory=dict)
    queue: QueueConfig = field(default_factory=QueueConfig)


class Directory:
    """Keeps a ``Snapshot`` that is never older than the last commit seen by ``current``."""

    def __init__(
        self,
        db: SqlDb,
        tables: Tables,
        limits: ConcurrencyConfig,
        queue: QueueConfig | None = None,
    ) -> None:
        self._db = db
        self._tables = tables
        self._limits = limits
        self._queue = queue or QueueConfig()
        self._loading = asyncio.Lock()
        self.snapshot = Snapshot(queue=self._queue)

    async def current(self) -> Snapshot:
        """The snapshot, after asking the database whether it still holds."""
        version = await self._db.read(directory_version)
        return await self.at_least(version)

    async def at_least(self, version: int) -> Snapshot:
        """The snapshot, reloaded first when ``version`` is newer than it."""
        if self.snapshot.version < version:
            async with self._loading:
                if self.snapshot.version < version:
                    self.snapshot = await self._db.read(self._load)
        return self.snapshot

    def _load(self, connection: Connection) -> Snapshot:
        version = directory_version(connection)
        suspended: dict[str, set[str]] = {}
        for row in self._tables.suspensions.select(connection, tenant_id=EVERY_TENANT):
            suspended.setdefault(row["tenant_id"], set()).add(row["batch_code"])
        rows = self._tables.tenants.select(connection)
        tenants = {row["id"]: _tenant(row, suspended.get(row["id"], set())) for row in rows}
        rows = self._tables.accounts.select(connection, tenant_id=EVERY_TENANT, deleted_at=None)
        accounts = {row["pk"]: self._account(row) for row in rows}
        # After the rows: with the wrong key they would all look damaged.
        self._tables.instance.prove_key(connection)
        return Snapshot(
            version=version,
            tenants=tenants,
            tenants_by_key={t.api_key_hash: t for t in tenants.values() if t.api_key_hash},
            accounts=accounts,
            accounts_by_id={(a.tenant_id, a.id): a for a in accounts.values()},
            default_accounts=_defaults(accounts),
            queue=self._queue.model_copy(update=dict(runtime_settings(connection))),
        )

    def _account(self, row: Row) -> Account:
        most = self._limits.max_concurrent_per_account
        password = row["password"]
        damage = password.reason if isinstance(password, Damaged) else None
        login = SmtpLogin(
            account_pk=row["pk"],
            version=row["version"],
            host=row["host"],
            port=row["port"],
            user=row["smtp_user"],
            password=None if damage else password,
            tls=TlsMode(row["tls"]),
            verify_cert=row["verify_cert"],
            ttl_seconds=row["ttl_seconds"],
            batch_size=row["batch_size"] or self._limits.batch_size,
            max_connections=min(row["max_connections"] or most, most),
            damage=damage,
        )
        return Account(
            pk=row["pk"],
            tenant_id=row["tenant_id"],
            id=row["id"],
            is_default=row["is_default"],
            login=login,
            limits=limits(row["limit_per_minute"], row["limit_per_hour"], row["limit_per_day"]),
            rejects_over_limit=row["limit_behavior"] == "reject",
        )


def _tenant(row: Row, suspended: set[str]) -> Tenant:
    base = row["client_base_url"]
    path = row["client_sync_path"] or DEFAULT_SYNC_PATH
    rates = row["rate_limits"] or {}
    auth = row["client_auth"]
    damage = auth.reason if isinstance(auth, Damaged) else None
    return Tenant(
        id=row["id"],
        active=row["active"],
        sync_url=f"{base.rstrip('/')}{path}" if base else None,
        client_auth=ClientAuth.from_record(None if damage else auth),
        api_key_hash=row["api_key_hash"],
        api_key_expires_at=row["api_key_expires_at"],
        suspended_batches=frozenset(suspended),
        limits=limits(hour=rates.get("hourly"), day=rates.get("daily")),
        damage=damage,
    )


def _defaults(accounts: Mapping[str, Account]) -> dict[str, Account]:
    """For each tenant the account marked as default, or the only one."""
    of_tenant: dict[str, list[Account]] = {}
    for account in accounts.values():
        of_tenant.setdefault(account.tenant_id, []).append(account)
    chosen = {}
    for tenant_id, owned in of_tenant.items():
        marked = [a for a in owned if a.is_default]
        if marked or len(owned) == 1:
            chosen[tenant_id] = (marked or owned)[0]
    return chosen
