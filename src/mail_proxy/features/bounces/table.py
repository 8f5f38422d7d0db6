"""Tables of the bounce mailbox and of soft bounces."""

from __future__ import annotations

from dataclasses import dataclass

from mail_proxy.domain.account import TlsMode
from mail_proxy.imap import ImapLogin
from mail_proxy.inbound.mailbox_watch import WatchedMailbox
from mail_proxy.sql import Connection
from mail_proxy.sql.declare import (
    RECORD_ONLY,
    BigInteger,
    Column,
    ForeignKey,
    Instant,
    Json,
    Pk,
    Sealed,
    Text,
    declare_table,
)
from mail_proxy.sql.table import Damaged, Row, Table
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.instance import DirectoryTable
from mail_proxy.wire.bounces import BounceMailboxOut

NAME = "bounces"
_ID = 1


@dataclass(frozen=True)
class BounceConfig:
    """Settings of the bounce mailbox that every process keeps in memory.

    ``watched`` is None if the mailbox is not watched.
    """

    return_path: str | None
    watched: WatchedMailbox | None
    detect_replies: bool = False


class BounceMailboxTable(DirectoryTable):
    """Table with a single row: the settings of the bounce mailbox, and its password."""

    schema = declare_table(
        "bounce_mailbox",
        Column("id", BigInteger, primary_key=True, autoincrement=False),
        Column("settings", Json, nullable=False),
        Column("password", Sealed),
        Column("directory_version", BigInteger, nullable=False, server_default="0", index=True),
    )
    keeps_damaged = True

    def row(self, connection: Connection) -> Row | None:
        """Return the row, or None before the first save."""
        return self.find(connection, id=_ID)

    def save(self, connection: Connection, settings: Row, password: str | Damaged | None) -> None:
        """Write the settings. A damaged password stays as it is."""
        values: Row = {"settings": settings}
        if not isinstance(password, Damaged):
            values["password"] = password
        if self.row(connection) is None:
            self.insert(connection, {"id": _ID, **values})
        else:
            self.update(connection, {"id": _ID}, values)


class SoftBouncesTable(Table):
    """Table of recent soft bounces, one row for each address and message."""

    schema = declare_table(
        "soft_bounce",
        Column("tenant_id", Text, ForeignKey("tenant.id", ondelete="CASCADE"), primary_key=True),
        Column("address", Text, primary_key=True),
        Column("message_pk", Pk, primary_key=True),
        Column("at", Instant, info=RECORD_ONLY, nullable=False, index=True),
    )

    def count_with(
        self, connection: Connection, tenant_id: str, address: str, message_pk: str, now: float
    ) -> int:
        """Add a soft bounce; return the number of soft bounces of the address."""
        identity = {"tenant_id": tenant_id, "address": address, "message_pk": message_pk}
        if self.find(connection, **identity) is None:
            self.insert(connection, {**identity, "at": now})
        return self.count(connection, tenant_id=tenant_id, address=address)

    def prune(self, connection: Connection, tenant_id: str, address: str, before: float) -> None:
        """Forget the soft bounces of an address before an instant."""
        old = self.columns["at"] < before
        for row in self.select(connection, old, tenant_id=tenant_id, address=address):
            del row["at"]
            self.delete(connection, **row)


def renew_mailbox(
    connection: Connection, tables: Tables, old: BounceConfig | None, since_version: int
) -> BounceConfig:
    """Return the settings of the bounce mailbox, read again if they have changed."""
    table = tables.of_feature(BounceMailboxTable)
    rows = table.select(connection, table.columns["directory_version"] > since_version)
    if rows:
        return _config(rows[0])
    return old or BounceConfig(None, None)


def _config(row: Row) -> BounceConfig:
    found = BounceMailboxOut(**row["settings"])
    if not found.enabled:
        return BounceConfig(None, None)
    return BounceConfig(found.return_path, place_of(row), found.detect_replies)


def place_of(row: Row) -> WatchedMailbox | None:
    """Return the mailbox of the row, or None if a field that it needs is missing."""
    found = BounceMailboxOut(**row["settings"])
    password = row["password"]
    if not (found.imap_host and found.imap_user and isinstance(password, str)):
        return None
    login = ImapLogin(
        host=found.imap_host,
        port=found.imap_port,
        user=found.imap_user,
        password=password,
        tls=TlsMode(found.imap_tls),
        private_allowed=True,  # only the administrator sets it
    )
    return WatchedMailbox(
        NAME, login, found.imap_folder, found.poll_interval, found.after_processing
    )
