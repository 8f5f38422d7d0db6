"""Table of the tenants' SMTP accounts.

A removed account stays as a row, so that reports can name it.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, func, select

from mail_proxy.sql import schema
from mail_proxy.sql.table import Row
from mail_proxy.sql.tables.instance import DirectoryTable

_MOST_ASKED = 1000


class AccountsTable(DirectoryTable):
    """Table of accounts. ``deleted_at`` marks a removed one; its id may be used again.

    ``auth`` is encrypted JSON.
    """

    schema = schema.account
    #: One bad account must not stop the others.
    keeps_damaged = True
    sealed_objects = ("auth",)

    def find_living(self, connection: Connection, tenant_id: str, account_id: str) -> Row | None:
        """Return the account with this id that is not removed, or None."""
        return self.find(connection, tenant_id=tenant_id, id=account_id, deleted_at=None)

    def are_living(self, connection: Connection, pks: Collection[str]) -> bool:
        """Return whether no account is removed.

        False also for more accounts than one statement may ask about.
        """
        if len(pks) > _MOST_ASKED:
            return False
        c = self.schema.c
        living = select(func.count()).where(c.pk.in_(pks), c.deleted_at.is_(None))
        return connection.execute(living).scalar() == len(pks)
