"""One module for each table, and the set of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from mail_proxy.sql.clock_repair import ClockRepair
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.hourly_counts import HourlyCounts
from mail_proxy.sql.messages.attachment_logins import AttachmentLogins
from mail_proxy.sql.messages.events import MessageEventTable
from mail_proxy.sql.messages.give_up import GivenUpMessages
from mail_proxy.sql.messages.insert import MessagesTable
from mail_proxy.sql.messages.queue import MessageQueue
from mail_proxy.sql.messages.retry import RetriedMessages
from mail_proxy.sql.messages.suspended import SuspendedMessages
from mail_proxy.sql.table import Table
from mail_proxy.sql.tables.account_health import AccountHealthTable
from mail_proxy.sql.tables.accounts import AccountsTable
from mail_proxy.sql.tables.claims import ClaimsTable
from mail_proxy.sql.tables.command_log import CommandLogTable
from mail_proxy.sql.tables.instance import InstanceTable
from mail_proxy.sql.tables.link_secret import LinkSecretTable
from mail_proxy.sql.tables.mailboxes import MailboxesTable
from mail_proxy.sql.tables.pec import PecTable
from mail_proxy.sql.tables.rate_use import RateUseTable
from mail_proxy.sql.tables.suspensions import SuspensionsTable
from mail_proxy.sql.tables.sync_log import SyncLogTable
from mail_proxy.sql.tables.tenant_sync import TenantSyncTable
from mail_proxy.sql.tables.tenants import TenantsTable

TableT = TypeVar("TableT", bound=Table)


@dataclass(frozen=True)
class Tables:
    """Set of all tables of one database. Each part takes the tables that it uses."""

    instance: InstanceTable
    tenants: TenantsTable
    tenant_sync: TenantSyncTable
    sync_log: SyncLogTable
    suspensions: SuspensionsTable
    accounts: AccountsTable
    health: AccountHealthTable
    rate_use: RateUseTable
    messages: MessagesTable
    attachment_logins: AttachmentLogins
    suspended: SuspendedMessages
    retried: RetriedMessages
    queue: MessageQueue
    given_up: GivenUpMessages
    events: MessageEventTable
    counts: HourlyCounts
    command_log: CommandLogTable
    claims: ClaimsTable
    mailboxes: MailboxesTable
    link_secret: LinkSecretTable
    pec: PecTable
    clock_repair: ClockRepair
    _key: bytes

    def of_feature(self, kind: type[TableT]) -> TableT:
        """Return the table of a feature."""
        return kind(self._key)

    @classmethod
    def of(cls, db: SqlDb, key: bytes) -> Tables:
        """Return the tables of ``db``; ``key`` is the encryption key, 32 bytes."""
        counts = HourlyCounts(db)
        events = MessageEventTable(db, key, counts)
        queue = MessageQueue(db, events)
        return cls(
            instance=InstanceTable(key),
            tenants=TenantsTable(key),
            tenant_sync=TenantSyncTable(key),
            sync_log=SyncLogTable(key),
            suspensions=SuspensionsTable(key),
            accounts=AccountsTable(key),
            health=AccountHealthTable(db),
            rate_use=RateUseTable(db),
            messages=MessagesTable(db, key, counts),
            attachment_logins=AttachmentLogins(key),
            suspended=SuspendedMessages(db),
            retried=RetriedMessages(db, events),
            queue=queue,
            given_up=GivenUpMessages(db, queue, events),
            events=events,
            counts=counts,
            command_log=CommandLogTable(db, key),
            claims=ClaimsTable(),
            mailboxes=MailboxesTable(),
            link_secret=LinkSecretTable(key),
            pec=PecTable(),
            clock_repair=ClockRepair(db),
            _key=key,
        )
