"""Table of access tokens that are valid, one for each account with OAuth2."""

from __future__ import annotations

from mail_proxy.sql import Connection
from mail_proxy.sql.declare import (
    Column,
    ForeignKey,
    Instant,
    Pk,
    Sealed,
    Text,
    at_most,
    declare_table,
)
from mail_proxy.sql.table import Row, Table

#: After a clock jump, tokens that end later are renewed after this time.
_LONGEST_SECONDS = 3600.0


class AccessTokensTable(Table):
    """One row for each account: its token, and a digest of the settings it is for."""

    schema = declare_table(
        "access_token",
        Column("account_pk", Pk, ForeignKey("account.pk", ondelete="CASCADE"), primary_key=True),
        Column("token", Sealed, nullable=False),
        Column("digest", Text, nullable=False),
        Column("renew_at", Instant, info=at_most(_LONGEST_SECONDS), nullable=False),
        Column("expires_at", Instant, info=at_most(_LONGEST_SECONDS), nullable=False, index=True),
    )
    keeps_damaged = True

    def save(self, connection: Connection, account_pk: str, values: Row) -> None:
        """Replace the token of an account; ``values`` are the other columns."""
        self.delete(connection, account_pk=account_pk)
        self.insert(connection, {"account_pk": account_pk, **values})

    def prune(self, connection: Connection, now: float) -> None:
        """Remove the tokens that have ended, such as those of removed accounts."""
        self.delete(connection, self.columns["expires_at"] < now)
