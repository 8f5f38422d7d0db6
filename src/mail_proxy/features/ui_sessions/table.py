"""Table of dashboard sessions and of one-time links."""

from __future__ import annotations

from mail_proxy.sql import Connection
from mail_proxy.sql.declare import (
    RECORD_ONLY,
    BigInteger,
    Column,
    ForeignKey,
    Instant,
    Text,
    at_most,
    declare_table,
)
from mail_proxy.sql.table import EVERY_TENANT, Row, Table

#: Longest session that the setting ``ui_session_hours`` allows.
LONGEST_SESSION_SECONDS = 720 * 3600.0
#: Sessions of one tenant, or of the administrator; the oldest end for new ones.
_MOST_SESSIONS = 100
_REMOVED_AT_ONCE = 1000


class UiSessionsTable(Table):
    """One row for each session or unused link, by the hash of its secret.

    ``tenant_id`` is null for the administrator. ``key_hash`` is the hash of the token or key that
    was logged in with; the session ends when that is not valid any more.
    """

    schema = declare_table(
        "ui_session",
        Column("token_hash", Text, primary_key=True),
        Column("tenant_id", Text, ForeignKey("tenant.id", ondelete="CASCADE"), index=True),
        Column("key_hash", Text, nullable=False),
        Column("is_link", BigInteger, nullable=False),
        Column("created_at", Instant, info=RECORD_ONLY, nullable=False),
        Column("expires_at", Instant, info=at_most(LONGEST_SESSION_SECONDS), nullable=False),
    )

    def find_valid(
        self, connection: Connection, token_hash: str, now: float, *, is_link: bool = False
    ) -> Row | None:
        """Return a session, or an unused link, that has not expired."""
        row = self.find(
            connection, tenant_id=EVERY_TENANT, token_hash=token_hash, is_link=int(is_link)
        )
        return row if row is not None and row["expires_at"] > now else None

    def begin(self, connection: Connection, row: Row) -> None:
        """Insert a session, and remove those that have expired or are too many."""
        now = row["created_at"]
        self.insert(connection, row)
        expired = self.columns["expires_at"] <= now
        old = self.select(connection, expired, tenant_id=EVERY_TENANT, limit=_REMOVED_AT_ONCE)
        tenant = self.columns["tenant_id"]
        mine = tenant.is_(None) if row["tenant_id"] is None else tenant == row["tenant_id"]
        order = self.columns["created_at"].desc()
        kept = self.select(connection, mine, tenant_id=EVERY_TENANT, order_by=order)
        for each in (*old, *kept[_MOST_SESSIONS:]):
            self.end(connection, each["token_hash"])

    def end(self, connection: Connection, token_hash: str) -> int:
        """Remove a session or a link; return 0 if there is none."""
        return self.delete(connection, tenant_id=EVERY_TENANT, token_hash=token_hash)

    def end_all(self, connection: Connection, tenant_id: str | None) -> int:
        """Remove all sessions of a tenant or, with None, of everybody; return how many."""
        return self.delete(connection, tenant_id=tenant_id or EVERY_TENANT)
