"""Find troubles of an instance that an operator has to mend: the attention list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from mail_proxy.domain.waiting import WaitReason
from mail_proxy.errors import DiskShort
from mail_proxy.kit.free_disk import FreeDisk
from mail_proxy.operations.waiting_counts import Waiting
from mail_proxy.sql import Connection
from mail_proxy.sql.table import EVERY_TENANT, Row
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.mailboxes import MailboxState, account_of_mailbox
from mail_proxy.wire.service import Attention

#: A message whose turn has not come for so long is late: a dispatcher hangs, or cannot keep up.
LATE_SECONDS = 900.0
#: Most entries of each kind: an instance may have thousands of accounts in trouble.
_MOST = 100


@dataclass(frozen=True)
class FailingMailbox:
    """A mailbox that cannot be read, and the PEC account that it belongs to, if any."""

    state: MailboxState
    account: Row | None


@dataclass(frozen=True)
class Troubles:
    """Accounts in trouble, applications without reports, unreadable mailboxes."""

    paused: list[Row]
    failing: list[Row]
    mailboxes: list[FailingMailbox]


def find_troubles(connection: Connection, tables: Tables, tenant_id: str | None) -> Troubles:
    """Return the troubles of one tenant or, with None, of all."""
    return Troubles(
        tables.health.described(connection, tenant_id, _MOST),
        tables.tenant_sync.failing(connection, tenant_id, _MOST),
        list(islice(_mailboxes(connection, tables, tenant_id), _MOST)),
    )


def _mailboxes(
    connection: Connection, tables: Tables, tenant_id: str | None
) -> Iterator[FailingMailbox]:
    """Yield the mailboxes that cannot be read; of a tenant, those of its accounts."""
    for state in tables.mailboxes.states(connection):
        if state.error is None:
            continue
        pk = account_of_mailbox(state.name)
        if pk is None:
            if tenant_id is None:
                yield FailingMailbox(state, None)
            continue
        whose = EVERY_TENANT if tenant_id is None else tenant_id
        account = tables.accounts.find(connection, tenant_id=whose, pk=pk, deleted_at=None)
        if account is not None and account["is_pec_account"] and account["imap_host"]:
            yield FailingMailbox(state, account)


async def attention_list(
    troubles: Troubles, waiting: Waiting, disk: FreeDisk, now: float
) -> list[Attention]:
    """Return the attention list at the time ``now`` (Unix seconds)."""
    return [
        *_paused_accounts(troubles, waiting),
        *_failing_reports(troubles),
        *_failing_mailboxes(troubles),
        *_late_messages(waiting, now),
        *_no_dispatcher(waiting),
        *await _short_disk(disk),
    ]


def _paused_accounts(troubles: Troubles, waiting: Waiting) -> Iterable[Attention]:
    for row in troubles.paused:
        yield Attention(
            code="account_paused",
            text=f"Account {row['id']} cannot be used: {row['last_error']}",
            since_ts=int(row["since_at"]),
            tenant_id=row["tenant_id"],
            account_id=row["id"],
            waiting=waiting.by_account[row["pk"]],
        )


def _failing_reports(troubles: Troubles) -> Iterable[Attention]:
    for row in troubles.failing:
        since = row["last_sync_at"]
        yield Attention(
            code="reports_failing",
            text=f"The application of {row['tenant_id']} takes no reports: {row['last_error']}",
            since_ts=None if since is None else int(since),
            tenant_id=row["tenant_id"],
        )


def _failing_mailboxes(troubles: Troubles) -> Iterable[Attention]:
    for mailbox in troubles.mailboxes:
        state, account = mailbox.state, mailbox.account
        name = state.name if account is None else f"of the account {account['id']}"
        yield Attention(
            code="mailbox_failing",
            text=f"The mailbox {name} cannot be read: {state.error}",
            since_ts=None if state.error_since is None else int(state.error_since),
            tenant_id=account and account["tenant_id"],
            account_id=account and account["id"],
        )


def _late_messages(waiting: Waiting, now: float) -> Iterable[Attention]:
    oldest = waiting.oldest_due_at
    if oldest is not None and oldest < now - LATE_SECONDS:
        minutes = round((now - oldest) / 60)
        yield Attention(
            code="queue_late",
            text=f"Messages have been due for {minutes} minutes, and nothing holds them up",
            since_ts=int(oldest),
            waiting=waiting.by_reason[WaitReason.QUEUE],
        )


def _no_dispatcher(waiting: Waiting) -> Iterable[Attention]:
    if stopped := waiting.by_reason[WaitReason.STOPPED]:
        text = "No dispatcher runs (scheduler_active): nothing is sent"
        yield Attention(code="dispatcher_stopped", text=text, waiting=stopped)


async def _short_disk(disk: FreeDisk) -> list[Attention]:
    try:
        await disk.check()
    except DiskShort as error:
        return [Attention(code="disk_short", text=error.message)]
    return []
