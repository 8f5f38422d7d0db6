"""Table with the secret from which the keys of links to this service are derived."""

from __future__ import annotations

import base64
import secrets

from sqlalchemy import BigInteger, Column, Connection
from sqlalchemy import Table as SqlTable

from mail_proxy.sql.metadata import metadata
from mail_proxy.sql.table import Table
from mail_proxy.sql.types import Sealed


class LinkSecretTable(Table):
    """Table with the secret from which the keys of links are derived.

    It is not the encryption key, whose rotation would break all links.
    """

    schema = SqlTable(
        "file_secret",
        metadata,
        Column("id", BigInteger, primary_key=True, autoincrement=False),
        Column("secret", Sealed, nullable=False),
    )

    def obtain(self, connection: Connection) -> str:
        """Return the secret; make it the first time."""
        row = self.find(connection, id=1)
        if row is None:
            made = base64.b64encode(secrets.token_bytes(32)).decode()
            self.insert(connection, row := {"id": 1, "secret": made})
        return str(row["secret"])
