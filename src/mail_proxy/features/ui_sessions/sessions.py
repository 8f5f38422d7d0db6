"""Sessions of the dashboard: log-in, who a session belongs to, log-out."""

from __future__ import annotations

from dataclasses import dataclass

from mail_proxy.config import ProxyConfig
from mail_proxy.encryption import hash_token, new_token
from mail_proxy.features.ui_sessions.table import UiSessionsTable
from mail_proxy.kit.clock import Clock
from mail_proxy.operations.audit import audit_row
from mail_proxy.operations.callers import Caller
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.table import Row
from mail_proxy.sql.tables import Tables

_HOUR = 3600.0


@dataclass(frozen=True)
class UiSessions:
    """Sessions in the database. Their secrets are stored as hashes only."""

    db: SqlDb
    tables: Tables
    directory: Directory
    clock: Clock
    config: ProxyConfig

    async def begin(self, caller: Caller, token: str | None) -> str:
        """Begin a session of a caller who has logged in with ``token``; return its secret."""
        secret = new_token()
        row = self._row(secret, caller.tenant_id, hash_token(token) if token else "")
        await self.db.write(self._begin, row, caller, "ui_sessions.begin")
        return secret

    async def redeem(self, code: str, origin: Caller) -> str | None:
        """Begin a session with a one-time link; return its secret, None if it is over."""
        secret = new_token()
        row = self._row(secret, None, self._admin_hash)
        used = await self.db.write(self._redeem, hash_token(code), row, origin)
        return secret if used else None

    async def find(self, secret: str) -> Caller | None:
        """Return the caller of a session, or None if it is over.

        It is over when its time is, when its token or key is not the present one, or when its
        tenant is inactive.
        """
        row = await self.db.read(self._find, hash_token(secret))
        if row is None:
            return None
        if row["tenant_id"] is None:
            return Caller(None) if row["key_hash"] == self._admin_hash else None
        tenant = (await self.directory.current()).tenants.get(row["tenant_id"])
        if tenant is None or not tenant.active or tenant.api_key_hash != row["key_hash"]:
            return None
        expires_at = tenant.api_key_expires_at
        if expires_at is not None and expires_at <= self.clock.now():
            return None
        return Caller(tenant.id)

    async def end(self, secret: str, caller: Caller) -> None:
        """End a session; one that is over already changes nothing."""
        await self.db.write(self._end, hash_token(secret), caller)

    @property
    def _admin_hash(self) -> str:
        token = self.config.api_token
        return hash_token(token.get_secret_value()) if token else ""

    def _row(self, secret: str, tenant_id: str | None, key_hash: str) -> Row:
        now = self.clock.now()
        return {
            "token_hash": hash_token(secret),
            "tenant_id": tenant_id,
            "key_hash": key_hash,
            "is_link": 0,
            "created_at": now,
            "expires_at": now + self.config.ui.ui_session_hours * _HOUR,
        }

    def _find(self, connection: Connection, token_hash: str) -> Row | None:
        table = self.tables.of_feature(UiSessionsTable)
        return table.find_valid(connection, token_hash, self.clock.now())

    def _begin(self, connection: Connection, row: Row, caller: Caller, name: str) -> None:
        self.tables.of_feature(UiSessionsTable).begin(connection, row)
        self._audit(connection, caller, name)

    def _redeem(self, connection: Connection, code_hash: str, row: Row, origin: Caller) -> bool:
        table = self.tables.of_feature(UiSessionsTable)
        link = table.find_valid(connection, code_hash, self.clock.now(), is_link=True)
        # Of two that use it at the same time, only one removes it.
        if link is None or link["key_hash"] != row["key_hash"]:
            return False
        if not table.end(connection, code_hash):
            return False
        self._begin(connection, row, origin, "ui_sessions.redeem")
        return True

    def _end(self, connection: Connection, token_hash: str, caller: Caller) -> None:
        if self.tables.of_feature(UiSessionsTable).end(connection, token_hash):
            self._audit(connection, caller, "ui_sessions.end")

    def _audit(self, connection: Connection, caller: Caller, name: str) -> None:
        row = audit_row(caller, name, self.clock.now(), caller.tenant_id, None)
        self.tables.command_log.insert(connection, row)
