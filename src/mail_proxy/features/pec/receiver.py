"""Service that watches the mailboxes of all PEC accounts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from mail_proxy.domain.facts import DirectoryChanged
from mail_proxy.features.pec.accounts import NAME, PecAccounts
from mail_proxy.features.pec.archive import ReceiptArchive
from mail_proxy.features.pec.cleanup import remove_receipts
from mail_proxy.features.pec.deadlines import PecDeadlines
from mail_proxy.features.pec.recording import ReceiptRecording
from mail_proxy.inbound.mailbox_watch import MailboxWatch, WatchedMailbox
from mail_proxy.inbound.pec.signature import SignatureCheck
from mail_proxy.kit.bus import Fact
from mail_proxy.kit.ids import uuid7
from mail_proxy.kit.liveness import process_mark, process_space
from mail_proxy.kit.service import seconds_until
from mail_proxy.kit.worker import Worker
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.operations.parts import Parts

#: Other hosts' changes are noticed through the directory at the latest after so long.
_LOOK_SECONDS = 15.0
#: Mailboxes with a session of their own all the time. Of more, each is visited in turn.
_MOST_SESSIONS = 50
_CLEANUP_SECONDS = 3600.0


class PecReceiver:
    """Watches the mailboxes of PEC accounts, and waits for acceptances.

    One process at a time watches a mailbox, over all hosts.
    """

    name = NAME

    def __init__(self, parts: Parts) -> None:
        """Read the authorities; raises ConfigError."""
        self._parts = parts
        config = parts.config
        self._is_on = config.scheduler_active and not config.test_mode
        self._archive = ReceiptArchive.of(config)
        self._check = SignatureCheck.of_file(config.pec.pec_ca_file)
        self._owner = process_mark(uuid7(), process_space())
        self._changed = asyncio.Event()
        self._sessions = asyncio.Semaphore(_MOST_SESSIONS)
        self._watching: dict[str, tuple[MailboxWatch, Worker]] = {}
        self._deadlines = PecDeadlines(parts)
        self._workers = (
            Worker("pec", self._round),
            self._deadlines.worker,
            Worker("pec cleanup", self._clean_up),
        )
        parts.bus.subscribe(DirectoryChanged, self._look)

    @property
    def alive(self) -> bool:
        """True if the loops run, or have nothing to do."""
        return not self._is_on or all(worker.alive for worker in self._workers)

    async def start(self) -> None:
        """Start the loops."""
        if self._is_on:
            for worker in self._workers:
                worker.start()

    async def stop(self, deadline: float) -> None:
        """Close the mailboxes, and let other processes take over."""
        for worker in self._workers:
            await worker.stop()
        ending = asyncio.gather(*map(self._end, list(self._watching)))
        try:
            async with asyncio.timeout(seconds_until(deadline)):
                await ending
        except TimeoutError:
            pass  # the claims expire

    def _look(self, fact: Fact) -> None:
        self._changed.set()

    async def _round(self) -> None:
        """Begin and end watches as the accounts say; then wait for a change."""
        self._changed.clear()
        await self._parts.directory.current()
        accounts: PecAccounts = self._parts.directory.snapshot.features.get(NAME, {})
        gone = [
            pk
            for pk, (watch, _) in self._watching.items()
            if pk not in accounts or watch.place != self._paced(accounts[pk][1])
        ]
        await asyncio.gather(*map(self._end, gone))
        for pk, (tenant_id, place) in accounts.items():
            if pk not in self._watching:
                self._begin(pk, tenant_id, place)
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _paced(self, place: WatchedMailbox) -> WatchedMailbox:
        return replace(place, poll_seconds=self._parts.config.pec.pec_poll_interval)

    def _begin(self, pk: str, tenant_id: str, place: WatchedMailbox) -> None:
        parts = self._parts
        watch = MailboxWatch(
            self._paced(place),
            ReceiptRecording(parts, tenant_id, self._archive, self._check, self._deadlines.wake),
            parts.db,
            parts.tables.claims,
            parts.tables.mailboxes,
            NetworkGuard.of(parts.config),
            parts.clock,
            self._owner,
            parts.tokens,
        )
        worker = Worker(f"mailbox of {pk}", partial(self._visit, watch))
        self._watching[pk] = watch, worker
        worker.start()

    async def _end(self, pk: str) -> None:
        watch, worker = self._watching.pop(pk)
        await worker.stop()
        await watch.release()

    async def _visit(self, watch: MailboxWatch) -> None:
        if len(self._watching) <= _MOST_SESSIONS:
            await watch.round()
            return
        async with self._sessions:
            pause = await watch.visit()
        await asyncio.sleep(pause)

    async def _clean_up(self) -> None:
        await asyncio.sleep(_CLEANUP_SECONDS)
        await remove_receipts(self._parts.db, self._parts.tables, self._archive)
