"""Claim the messages to send next: by priority, fairly, within rate limits."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from mail_proxy.delivery.due_accounts import ALL_ACCOUNTS, DueAccounts, Scan
from mail_proxy.delivery.failure_shares import MOST_TRIALS
from mail_proxy.delivery.fair_budget import FairBudget
from mail_proxy.delivery.turns import alternating, rotated
from mail_proxy.domain.account import Account
from mail_proxy.domain.limits import RateLimit
from mail_proxy.domain.message import Priority
from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Snapshot
from mail_proxy.sql.messages.queue import ClaimedMessage
from mail_proxy.sql.table import Row
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.instance import directory_version
from mail_proxy.sql.tables.rate_use import Use

#: Room of an account that has no lane yet.
_FIRST_ROOM = 20
#: Messages of priority 0 that are claimed even if other messages fill the lane.
_URGENT_ROOM = 50
#: A probe without an outcome for this long may be repeated by any dispatcher.
_PROBE_SECONDS = 60.0
_MOST_REJECTED = 500
#: A round's cost must not grow with the waiting accounts: the others come in later rounds.
_MOST_ACCOUNTS = 500


@dataclass(frozen=True)
class Capacity:
    """Room for more messages in this process: for each lane, and in all.

    An account that is missing in ``rooms`` has no lane yet and takes a few. ``messages`` and
    ``octets`` are the budgets less what is already claimed. ``limited_until`` leaves out
    accounts that were found at their rate limit, until that time (Unix seconds). ``working`` are
    accounts whose server has answered. ``trials`` says of how many others messages may be claimed,
    by tenant; without an entry ``MOST_TRIALS``.
    """

    rooms: Mapping[str, int]
    messages: FairBudget
    octets: FairBudget
    limited_until: Mapping[str, float]
    working: Set[str] = frozenset()
    trials: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """True if at least one more message can be claimed."""
        return self.messages.free > 0 and self.octets.free > 0


@dataclass
class Claim:
    """The result of one round of claims.

    ``full`` are accounts that may have more due messages, ``probes`` paused accounts that are
    tried again, ``limited`` accounts at their rate limit, with the time at which it admits the
    next message. ``rejected`` messages are claimed too, and end in error because their account
    rejects what exceeds its rate limit. ``unseen``: there was no time for all accounts, so the
    next round should follow at once. ``look_seconds`` is the time spent on finding accounts.
    """

    version: int
    messages: list[ClaimedMessage] = field(default_factory=list)
    rejected: list[ClaimedMessage] = field(default_factory=list)
    full: set[str] = field(default_factory=set)
    probes: set[str] = field(default_factory=set)
    limited: dict[str, float] = field(default_factory=dict)
    unseen: bool = False
    look_seconds: float = 0.0


class Claimer:
    """Claims due messages in one transaction for all accounts.

    The transaction sees the present database, but ``snapshot`` and ``capacity`` as they were when
    it was ordered.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.due_accounts = DueAccounts()
        self._turn = 0
        self._seen_until = 0.0
        #: Index of the account at which the next round begins, for tenants with too many for one.
        self._places: dict[str, int] = {}
        #: By tenant: accounts with due messages that wait until some of its accounts may be tried.
        self._put_off: dict[str, set[str]] = {}
        self._tried: list[ClaimedMessage] = []
        #: Messages that may or may not be claimed: the answer to the commit was lost.
        self._unsure: list[ClaimedMessage] = []

    async def next(
        self, db: SqlDb, dispatcher_id: str, snapshot: Snapshot, capacity: Capacity, now: float
    ) -> Claim:
        """Run ``claim`` in a transaction, for accounts that may have due messages."""
        if self._unsure:
            await db.write(self._tables.queue.release, self._unsure)
            self._unsure = []
        scan = self.due_accounts.begin()
        claim: Claim | None = None
        # The last claim is certain by now; if this transaction cannot begin, none is unsure.
        self._tried = []
        try:
            claim = await db.write(self.claim, dispatcher_id, snapshot, capacity, now, scan)
        except DatabaseUnavailable:
            self._unsure = self._tried
            raise
        finally:
            if claim is None or claim.version != snapshot.version:
                self.due_accounts.mark_all()
        # Not before the commit: the transaction may run more than once.
        self._seen_until = now
        self.due_accounts.end(scan, claim.full - claim.limited.keys(), claim.look_seconds)
        return claim

    def claim(
        self,
        connection: Connection,
        dispatcher_id: str,
        snapshot: Snapshot,
        capacity: Capacity,
        now: float,
        scan: Scan = ALL_ACCOUNTS,
    ) -> Claim:
        """Claim messages that may be sent now; none if ``snapshot`` is outdated."""
        self._tried = []
        claim = Claim(directory_version(connection))
        if claim.version != snapshot.version:
            return claim
        began = time.perf_counter()
        found, urgent = self._found(connection, scan, now)
        claim.look_seconds = time.perf_counter() - began
        for tenant_id in [t for t in self._put_off if capacity.trials.get(t, 1) > 0]:
            found |= self._put_off.pop(tenant_id)
        accounts = self._able(found, snapshot, capacity, now)
        able = [a for a in accounts if a.pk in urgent or _has_room(a, capacity)]
        served = self._in_turn(able, urgent) if able else []
        claim.full |= {a.pk for a in accounts}.difference(a.pk for a in served)
        claim.unseen = len(served) < len(able) and capacity.is_open
        if not served:
            return claim
        _Round(self._tables, connection, snapshot, capacity, now, claim).run(served)
        if not claim.messages:
            claim.look_seconds = time.perf_counter() - began
        claimed = [*claim.messages, *claim.rejected]
        if claimed:
            self._tables.queue.claim(connection, dispatcher_id, claimed)
            self._tried = claimed
        return claim

    def next_due_at(self, connection: Connection, after: float) -> float | None:
        """Return when the next message or paused account is due later than ``after``."""
        moments = [self._tables.queue.next_due_at(connection, after)]
        moments.append(self._tables.health.next_retry_at(connection, after))
        return min((m for m in moments if m is not None and m > after), default=None)

    def _found(self, connection: Connection, scan: Scan, now: float) -> tuple[set[str], set[str]]:
        """Find accounts that may have due messages, and those with priority 0."""
        queue = self._tables.queue
        urgent = set(queue.urgent_accounts(connection))
        if scan.accounts is None:
            found = set(queue.waiting_accounts(connection))
        else:
            came_due = queue.came_due(connection, self._seen_until, now, _MOST_ACCOUNTS)
            found = {*scan.accounts, *came_due, *urgent}
        return found, urgent

    def _able(
        self, pks: Set[str], snapshot: Snapshot, capacity: Capacity, now: float
    ) -> list[Account]:
        """Return the accounts that this process knows no reason to leave out, by pk."""
        found = []
        for pk in sorted(pks):
            account = snapshot.accounts.get(pk)
            if account is None or capacity.limited_until.get(pk, 0.0) > now:
                continue
            tenant_id = account.tenant_id
            if not snapshot.tenants[tenant_id].sends():
                continue
            if pk in capacity.working or capacity.trials.get(tenant_id, 1) > 0:
                found.append(account)
            else:
                self._put_off.setdefault(tenant_id, set()).add(pk)
        return found

    def _in_turn(self, accounts: Sequence[Account], urgent: Set[str]) -> list[Account]:
        """Order accounts by turns: the first of each tenant, then the second.

        Another tenant comes first each time.
        """
        by_tenant: dict[str, list[Account]] = {}
        for account in accounts:
            by_tenant.setdefault(account.tenant_id, []).append(account)
        self._turn += 1
        if len(accounts) > _MOST_ACCOUNTS:
            first = [a for a in accounts if a.pk in urgent][:_MOST_ACCOUNTS]
            rest = self._some(by_tenant)
            return [*first, *(a for a in rest if a.pk not in urgent)]
        tenants = [rotated(owned, self._turn) for owned in by_tenant.values()]
        return alternating(rotated(tenants, self._turn))

    def _some(self, by_tenant: Mapping[str, list[Account]]) -> list[Account]:
        """Choose the accounts of one round, equally many of each tenant.

        Each time others, so that every account gets its turn.
        """
        names = list(by_tenant)
        if len(names) > _MOST_ACCOUNTS:
            names = rotated(names, self._turn * _MOST_ACCOUNTS)[:_MOST_ACCOUNTS]
        share = _MOST_ACCOUNTS // len(names)
        places = {name: self._places.get(name, 0) for name in by_tenant}
        tenants = []
        for name in names:
            owned = by_tenant[name]
            tenants.append(rotated(owned, places[name])[:share])
            places[name] = (places[name] + share) % len(owned)
        self._places = places
        return alternating(rotated(tenants, self._turn))


def _has_room(account: Account, capacity: Capacity) -> bool:
    if capacity.rooms.get(account.pk, _FIRST_ROOM) <= 0:
        return False
    return capacity.messages.room(account.pk, account.tenant_id) > 0


class _Round:
    """The passes of one claim, one for each priority.

    Priority comes before fairness: a pass serves all accounts before the next priority gets its
    turn, so an urgent message of a busy account overtakes bulk mail of every other. Within a
    pass, each account gets an equal share of the process's remaining room, and ``FairBudget``
    keeps a share back for accounts that come later. One statement a pass finds the first
    messages of all accounts, so the cost does not grow with the queue.
    """

    def __init__(
        self,
        tables: Tables,
        connection: Connection,
        snapshot: Snapshot,
        capacity: Capacity,
        now: float,
        claim: Claim,
    ) -> None:
        self._tables = tables
        self._connection = connection
        self._snapshot = snapshot
        self._capacity = capacity
        self._now = now
        self._claim = claim
        # The transaction may run more than once.
        self._messages = capacity.messages.copy()
        self._octets = capacity.octets.copy()
        self._taken: dict[str, int] = {}
        self._trials = dict(capacity.trials)
        self._troubled: dict[str, Row] = {}
        self._of_accounts: dict[str, Use] = {}
        self._of_tenants: dict[str, Use] = {}

    def run(self, accounts: Sequence[Account]) -> None:
        pks = [account.pk for account in accounts]
        self._troubled = self._tables.health.of_accounts(self._connection, pks)
        self._of_accounts, self._of_tenants = self._tables.rate_use.of(
            self._connection,
            {a.pk: a.limits for a in accounts if a.limits},
            self._tenant_limits(accounts),
            self._now,
            lock=True,
        )
        for priority in Priority:
            if self._messages.free > 0 and self._octets.free > 0:
                self._pass(priority, accounts)
            else:
                self._claim.full |= {account.pk for account in accounts}
        self._note_limited(accounts)
        for pk in self._claim.probes:
            self._tables.health.begin_probe(self._connection, pk, self._now + _PROBE_SECONDS)

    def _tenant_limits(self, accounts: Sequence[Account]) -> dict[str, tuple[RateLimit, ...]]:
        tenants = [self._snapshot.tenants[i] for i in {a.tenant_id for a in accounts}]
        return {tenant.id: tenant.limits for tenant in tenants if tenant.limits}

    def _pass(self, priority: Priority, accounts: Sequence[Account]) -> None:
        rooms = {a.pk: self._room(a, priority) for a in accounts}
        # Accounts without room are not looked at, so they may have more.
        self._claim.full |= {pk for pk, room in rooms.items() if room <= 0}
        rooms = {pk: room for pk, room in rooms.items() if room > 0}
        if not rooms:
            return
        # An equal share for each, so that no account fills the process before the others.
        share = max(1, self._messages.free // len(rooms))
        limit = min(max(rooms.values()), share)
        asked = list(rooms)[: self._messages.free]
        found = self._tables.queue.due(self._connection, asked, priority, self._now, limit)
        counts: dict[str, int] = {}
        for message in found:
            counts[message.account_pk] = counts.get(message.account_pk, 0) + 1
            if not self._take(message, rooms):
                self._claim.full.add(message.account_pk)
        self._claim.full |= {pk for pk, count in counts.items() if count >= limit}
        self._claim.full |= set(rooms) - set(asked)

    def _room(self, account: Account, priority: Priority) -> int:
        pk = account.pk
        trouble = self._troubled.get(pk)
        if trouble is not None:
            taken = self._taken.get(pk, 0)
            if taken or trouble["retry_at"] > self._now:
                return 0
        if not self._is_known(account) and self._trials.get(account.tenant_id, 1) <= 0:
            return 0
        if trouble is not None:
            return 1
        room = self._capacity.rooms.get(pk, _FIRST_ROOM)
        if priority is Priority.IMMEDIATE:
            room = max(room, _URGENT_ROOM)
        room -= self._taken.get(pk, 0)
        return min(room, self._messages.room(pk, account.tenant_id), self._allowance(account))

    def _allowance(self, account: Account) -> int:
        """Return how many messages the rate limits admit; without limits, all that fit."""
        allowed = max(0, self._messages.free)
        for use in self._uses(account):
            allowed = min(allowed, use.allowance(self._now))
        return allowed

    def _uses(self, account: Account) -> list[Use]:
        uses = (self._of_accounts.get(account.pk), self._of_tenants.get(account.tenant_id))
        return [use for use in uses if use is not None]

    def _take(self, message: ClaimedMessage, rooms: dict[str, int]) -> bool:
        pk = message.account_pk
        account = self._snapshot.accounts[pk]
        room = min(rooms[pk], self._messages.room(pk, account.tenant_id))
        if room <= 0 or not self._fits(account, message) or self._allowance(account) <= 0:
            return False
        if not self._may_try(account):
            return False
        rooms[pk] -= 1
        self._messages.take(pk, account.tenant_id)
        self._octets.take(pk, account.tenant_id, message.size)
        self._taken[pk] = self._taken.get(pk, 0) + 1
        for use in self._uses(account):
            use.in_flight += 1
        if pk in self._troubled:
            self._claim.probes.add(pk)
        self._claim.messages.append(message)
        return True

    def _may_try(self, account: Account) -> bool:
        """Count an account that may fail, the first time; return whether it may be tried."""
        if self._is_known(account):
            return True
        left = self._trials.get(account.tenant_id, MOST_TRIALS)
        self._trials[account.tenant_id] = left - 1
        return left > 0

    def _is_known(self, account: Account) -> bool:
        """Return whether the account works, or is being tried already."""
        return account.pk in self._capacity.working or self._messages.held(account.pk) > 0

    def _fits(self, account: Account, message: ClaimedMessage) -> bool:
        room = self._octets.room(account.pk, account.tenant_id)
        is_first = self._octets.held(account.pk) == 0  # however large it is
        return message.size <= room or (is_first and room > 0)

    def _note_limited(self, accounts: Sequence[Account]) -> None:
        """Note accounts at their rate limit, and when it admits the next message."""
        for account in accounts:
            uses = [use for use in self._uses(account) if use.allowance(self._now) <= 0]
            if not uses:
                continue
            if account.rejects_over_limit:
                self._reject(account)
            else:
                self._claim.limited[account.pk] = max(u.admits_at(self._now) for u in uses)

    def _reject(self, account: Account) -> None:
        taken = {m.pk for m in self._claim.messages}
        for priority in Priority:
            found = self._tables.queue.due(
                self._connection, [account.pk], priority, self._now, _MOST_REJECTED
            )
            self._claim.rejected += [m for m in found if m.pk not in taken]
