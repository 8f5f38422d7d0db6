"""PEC accounts with a mailbox, which every process keeps in memory."""

from __future__ import annotations

from collections.abc import Mapping

from mail_proxy.inbound.mailbox_watch import WatchedMailbox
from mail_proxy.operations.account_mailboxes import mailbox_login
from mail_proxy.sql import Connection
from mail_proxy.sql.table import EVERY_TENANT, Row
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.mailboxes import mailbox_of_account
from mail_proxy.wire.accounts import DEFAULT_FOLDER

NAME = "pec"
#: Field of every receipt. A mail with this field inside only is no receipt.
RECEIPT_HEADER = "X-Ricevuta"
_DAY = 86_400.0

#: Tenant and mailbox of each account, by its pk.
PecAccounts = Mapping[str, tuple[str, WatchedMailbox]]


def renew_accounts(
    connection: Connection, tables: Tables, old: PecAccounts | None, since_version: int
) -> PecAccounts:
    """Return the mailboxes to watch, with the accounts that have changed read again."""
    table = tables.accounts
    changed = table.columns["directory_version"] > since_version
    rows = table.select(connection, changed, tenant_id=EVERY_TENANT)
    if not rows:
        return old or {}
    found = dict(old or {})
    for row in rows:
        found.pop(row["pk"], None)
        place = _place(row)
        if place is not None:
            found[row["pk"]] = row["tenant_id"], place
    return found


def _place(row: Row) -> WatchedMailbox | None:
    if row["deleted_at"] is not None:
        return None
    try:
        login = mailbox_login(row)
    except ValueError:
        return None  # the account shows that a secret is damaged
    if login is None:
        return None
    return WatchedMailbox(
        mailbox_of_account(row["pk"]),
        login,
        row["imap_folder"] or DEFAULT_FOLDER,
        after_processing="seen",
        header=RECEIPT_HEADER,
        # Servers compare days, in their own time zone.
        since=row["created_at"] - _DAY,
    )
