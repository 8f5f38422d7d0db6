"""Table of large files that were uploaded."""

from __future__ import annotations

from mail_proxy.sql import Connection
from mail_proxy.sql.declare import (
    RECORD_ONLY,
    BigInteger,
    Column,
    Instant,
    Text,
    at_most,
    declare_table,
)
from mail_proxy.sql.table import EVERY_TENANT, Row, Table

#: States of a file. What is being uploaded or removed is linked to by no new mail.
UPLOADING, READY, REMOVING = 0, 1, 2
#: The longest ``file_ttl_days``.
_LONGEST_SECONDS = 3650 * 86_400.0
#: Time for an upload, after which its process has died; and between two tries to remove.
_UPLOAD_SECONDS, _AGAIN_SECONDS = 86_400.0, 3600.0


class LargeFilesTable(Table):
    """One row for each uploaded file, from before its upload until after its removal.

    ``place`` is the ``storage_url`` of the upload, ``path`` the file in it. ``expires_at`` is the
    end of the last link, ``remove_at`` when the file is removed: then, or earlier after a
    download. Rows outlive their tenant, so that its files are removed.
    """

    schema = declare_table(
        "large_file",
        Column("id", Text, primary_key=True),
        Column("tenant_id", Text, nullable=False),
        Column("place", Text, nullable=False),
        Column("path", Text, nullable=False),
        Column("sha256", Text, nullable=False, index=True),
        Column("size", BigInteger, nullable=False),
        Column("filename", Text, nullable=False),
        Column("state", BigInteger, nullable=False),
        Column("created_at", Instant, info=RECORD_ONLY, nullable=False),
        Column("expires_at", Instant, info=at_most(_LONGEST_SECONDS), nullable=False),
        Column("remove_at", Instant, info=at_most(_LONGEST_SECONDS), nullable=False, index=True),
        Column("downloaded_at", Instant, info=RECORD_ONLY),
        Column("lifespan_seconds", BigInteger),
    )

    def reuse(
        self, connection: Connection, same: Row, lifespan_seconds: float | None, until: float
    ) -> Row | None:
        """Return a ready file with the fields of ``same``, which is kept ``until`` then."""
        found = self.find(connection, **same, state=READY)
        if found is None:
            return None
        expires_at = max(found["expires_at"], until)
        values = {"expires_at": expires_at, "remove_at": expires_at}
        values["lifespan_seconds"] = _whole(lifespan_seconds)
        changed = self.schema.update().where(
            self.columns["id"] == found["id"], self.columns["state"] == READY
        )
        # The clean-up may have taken the file since it was found.
        if connection.execute(changed.values(values)).rowcount == 0:
            return None
        return {**found, **values}

    def ready(self, connection: Connection, id_: str) -> Row | None:
        """Return an uploaded file of any tenant, or None."""
        return self.find(connection, tenant_id=EVERY_TENANT, id=id_, state=READY)

    def begin(
        self, connection: Connection, row: Row, lifespan_seconds: float | None, now: float
    ) -> None:
        """Insert a file whose upload begins.

        If its process dies, the file is removed a day later.
        """
        lifespan = _whole(lifespan_seconds)
        stamps = {"created_at": now, "remove_at": now + _UPLOAD_SECONDS}
        values = {**row, **stamps, "lifespan_seconds": lifespan, "state": UPLOADING}
        self.insert(connection, values)

    def finish(self, connection: Connection, row: Row, expires_at: float) -> None:
        """Mark a file as uploaded."""
        values = {"state": READY, "expires_at": expires_at, "remove_at": expires_at}
        self.update(connection, {"tenant_id": row["tenant_id"], "id": row["id"]}, values)

    def downloaded(self, connection: Connection, row: Row, now: float) -> None:
        """Note a download, which may bring the removal forward."""
        lifespan = row["lifespan_seconds"]
        values = {"downloaded_at": now}
        if lifespan is not None:
            values["remove_at"] = min(row["expires_at"], now + lifespan)
        is_ready = self.columns["state"] == READY
        statement = self.schema.update().where(self.columns["id"] == row["id"], is_ready)
        connection.execute(statement.values(values))

    def take_expired(self, connection: Connection, now: float, most: int) -> list[Row]:
        """Mark files whose time is over, at most ``most``, and return them.

        They are returned again an hour later, unless they are forgotten before.
        """
        is_over = self.columns["remove_at"] <= now
        order = self.columns["remove_at"]
        rows = self.select(connection, is_over, tenant_id=EVERY_TENANT, limit=most, order_by=order)
        for row in rows:
            values = {"state": REMOVING, "remove_at": now + _AGAIN_SECONDS}
            self.update(connection, {"tenant_id": row["tenant_id"], "id": row["id"]}, values)
        return rows

    def forget(self, connection: Connection, id_: str) -> None:
        """Delete the row of a file that is removed."""
        self.delete(connection, tenant_id=EVERY_TENANT, id=id_)


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)
