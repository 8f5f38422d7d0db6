"""One module for each table, and the set of all of them."""

from __future__ import annotations

from dataclasses import dataclass

from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.tables.account_health import AccountHealthTable
from mail_proxy.sql.tables.accounts import AccountsTable
from mail_proxy.sql.tables.command_log import CommandLogTable
from mail_proxy.sql.tables.ending import EndedMessages
from mail_proxy.sql.tables.events import MessageEventTable
from mail_proxy.sql.tables.future_stamps import FutureStamps
from mail_proxy.sql.tables.holding import HeldMessages
from mail_proxy.sql.tables.instance import InstanceTable
from mail_proxy.sql.tables.messages import MessagesTable
from mail_proxy.sql.tables.queue import MessageQueue
from mail_proxy.sql.tables.rate_use import RateUseTable
from mail_proxy.sql.tables.requeue import FailedMessages
from mail_proxy.sql.tables.suspensions import SuspensionsTable
from mail_proxy.sql.tables.sync_log import SyncLogTable
from mail_proxy.sql.tables.tenant_sync import TenantSyncTable
from mail_proxy.sql.tables.tenants import TenantsTable


@dataclass(frozen=True)
class Tables:
    """Every table of one database, ready to be handed to the parts that use some of them."""

    instance: InstanceTable
    tenants: TenantsTable
    tenant_sync: TenantSyncTable
    sync_log: SyncLogTable
    suspensions: SuspensionsTable
    accounts: AccountsTable
    health: AccountHealthTable
    rate_use: RateUseTable
    messages: MessagesTable
    held: HeldMessages
    failed: FailedMessages
    queue: MessageQueue
    ended: EndedMessages
    events: MessageEventTable
    command_log: CommandLogTable
    future_stamps: FutureStamps

    @classmethod
    def of(cls, db: SqlDb, key: bytes) -> Tables:
        """``key`` is the instance's encryption key, 32 bytes."""
        events = MessageEventTable(db, key)
        rate_use = RateUseTable(db)
        queue = MessageQueue(db, events)
        return cls(
            instance=InstanceTable(key),
            tenants=TenantsTable(key),
            tenant_sync=TenantSyncTable(key),
            sync_log=SyncLogTable(key),
            suspensions=SuspensionsTable(key),
            accounts=AccountsTable(key),
            health=AccountHealthTable(db),
            rate_use=rate_use,
            messages=MessagesTable(db, key),
            held=HeldMessages(db),
            failed=FailedMessages(db, events),
            queue=queue,
            ended=EndedMessages(db, queue, events),
            events=events,
            command_log=CommandLogTable(db, key),
            future_stamps=FutureStamps(db, rate_use),
        )
