"""Tables about watched mailboxes: their progress, and the mails handled."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, Connection, Index, Table, Text, delete, select, text

from mail_proxy.sql.metadata import metadata
from mail_proxy.sql.types import RECORD_ONLY, Instant

mailbox = Table(
    "mailbox",
    metadata,
    Column("name", Text, primary_key=True),
    Column("uidvalidity", BigInteger, nullable=False),
    #: The mails up to this UID are handled, and marked, moved or deleted in the mailbox.
    Column("last_uid", BigInteger, nullable=False),
    Column("checked_at", Instant, info=RECORD_ONLY),
    Column("error", Text),
    Column("error_since", Instant, info=RECORD_ONLY),
)
#: A mail that was handled, by the SHA-256 of its octets: a folder that is made again has new UIDs.
inbound_mail = Table(
    "inbound_mail",
    metadata,
    Column("mailbox", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("at", Instant, info=RECORD_ONLY, nullable=False),
    Index("ix_inbound_mail_at", "at"),
)

_SAVE = text(
    "INSERT INTO mailbox (name, uidvalidity, last_uid, checked_at) "
    "VALUES (:name, :uidvalidity, :last_uid, :now) "
    "ON CONFLICT (name) DO UPDATE SET uidvalidity = excluded.uidvalidity, "
    "last_uid = excluded.last_uid, checked_at = excluded.checked_at, "
    "error = NULL, error_since = NULL"
)
_FAIL = text(
    "INSERT INTO mailbox (name, uidvalidity, last_uid, error, error_since) "
    "VALUES (:name, 0, 0, :error, :now) "
    "ON CONFLICT (name) DO UPDATE SET error = excluded.error, "
    "error_since = COALESCE(mailbox.error_since, excluded.error_since)"
)
_ADMIT = text(
    "INSERT INTO inbound_mail (mailbox, digest, at) VALUES (:mailbox, :digest, :now) "
    "ON CONFLICT DO NOTHING RETURNING digest"
)


_OF_ACCOUNT = "pec:"


def mailbox_of_account(account_pk: str) -> str:
    """Return the name of the mailbox of a PEC account."""
    return f"{_OF_ACCOUNT}{account_pk}"


def account_of_mailbox(name: str) -> str | None:
    """Return the account (pk) whose mailbox has this name; None for another mailbox."""
    return name.removeprefix(_OF_ACCOUNT) if name.startswith(_OF_ACCOUNT) else None


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress in a mailbox: UIDs are valid as long as ``uidvalidity`` stays."""

    uidvalidity: int = 0
    last_uid: int = 0


@dataclass(frozen=True, slots=True)
class MailboxState:
    """State of a watched mailbox, for people. Instants are Unix seconds."""

    name: str
    checked_at: float | None
    error: str | None
    error_since: float | None


class MailboxesTable:
    """Table of watched mailboxes by name, such as ``bounces``."""

    def progress(self, connection: Connection, name: str) -> Progress:
        """Return how far a mailbox is read; all zero for a new one."""
        c = mailbox.c
        columns = select(c.uidvalidity, c.last_uid)
        row = connection.execute(columns.where(c.name == name)).first()
        return Progress() if row is None else Progress(*row)

    def save(self, connection: Connection, name: str, progress: Progress, now: float) -> None:
        """Write how far a mailbox is read, and that it can be used."""
        values = {
            "name": name,
            "uidvalidity": progress.uidvalidity,
            "last_uid": progress.last_uid,
            "now": now,
        }
        connection.execute(_SAVE, values)

    def fail(self, connection: Connection, name: str, error: str, now: float) -> None:
        """Write why a mailbox cannot be used."""
        connection.execute(_FAIL, {"name": name, "error": error, "now": now})

    def states(self, connection: Connection) -> list[MailboxState]:
        """Return the states of all mailboxes, by name."""
        c = mailbox.c
        columns = select(c.name, c.checked_at, c.error, c.error_since)
        return [MailboxState(*row) for row in connection.execute(columns.order_by(c.name))]

    def forget(self, connection: Connection, name: str) -> None:
        """Remove a mailbox that is not watched any more."""
        connection.execute(delete(mailbox).where(mailbox.c.name == name))

    def admit(self, connection: Connection, name: str, digest: str, now: float) -> bool:
        """Note a mail as handled; return False if it was handled before."""
        values = {"mailbox": name, "digest": digest, "now": now}
        return connection.execute(_ADMIT, values).first() is not None

    def withdraw(self, connection: Connection, name: str, digest: str) -> None:
        """Take back ``admit``: the mail turned out to be about nothing that is stored."""
        c = inbound_mail.c
        connection.execute(delete(inbound_mail).where(c.mailbox == name, c.digest == digest))

    def prune(self, connection: Connection, before: float, limit: int) -> int:
        """Forget mails that were handled before an instant; return their number."""
        c = inbound_mail.c
        old = select(c.mailbox, c.digest).where(c.at < before).limit(limit)
        rows = connection.execute(old).all()
        for name, digest in rows:
            connection.execute(delete(inbound_mail).where(c.mailbox == name, c.digest == digest))
        return len(rows)
