"""Service that watches the bounce mailbox, as long as it is enabled."""

from __future__ import annotations

import asyncio

from mail_proxy.domain.facts import DirectoryChanged
from mail_proxy.features.bounces.facts import BounceMailboxReload
from mail_proxy.features.bounces.recording import BounceRecording
from mail_proxy.features.bounces.table import NAME, BounceConfig
from mail_proxy.inbound.mailbox_watch import MailboxWatch, WatchedMailbox
from mail_proxy.kit.bus import Fact
from mail_proxy.kit.ids import uuid7
from mail_proxy.kit.liveness import process_mark, process_space
from mail_proxy.kit.service import seconds_until
from mail_proxy.kit.worker import Worker
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.operations.parts import Parts

#: Other hosts' changes are noticed through the directory at the latest after so long.
_LOOK_SECONDS = 15.0


class BounceReceiver:
    """Loop that watches the bounce mailbox with the settings of the moment.

    One process at a time watches, over all hosts.
    """

    name = "bounces"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._is_on = not parts.config.test_mode
        self._handler = BounceRecording(parts)
        self._owner = process_mark(uuid7(), process_space())
        self._changed = asyncio.Event()
        self._watch: MailboxWatch | None = None
        self._worker = Worker("bounces", self._round)
        parts.bus.subscribe(DirectoryChanged, self._look)
        parts.bus.subscribe(BounceMailboxReload, self._reload)

    @property
    def alive(self) -> bool:
        """True if the loop runs, or has nothing to do."""
        return self._worker.alive or not self._is_on

    async def start(self) -> None:
        """Start the loop, which waits until the mailbox is enabled."""
        if self._is_on:
            self._worker.start()

    async def stop(self, deadline: float) -> None:
        """Close the mailbox, and let another process take over."""
        await self._worker.stop()
        if self._watch is not None and seconds_until(deadline):
            await self._watch.release()

    def _look(self, fact: Fact) -> None:
        self._changed.set()

    def _reload(self, fact: Fact) -> None:
        self._watch = None
        self._changed.set()

    def _watched(self) -> WatchedMailbox | None:
        config: BounceConfig | None = self._parts.directory.snapshot.features.get(NAME)
        return None if config is None else config.watched

    async def _round(self) -> None:
        """Watch until the settings change."""
        self._changed.clear()
        await self._parts.directory.current()
        place = self._watched()
        if place is None:
            self._watch = None
            await self._until_changed(_LOOK_SECONDS)
            return
        if self._watch is None or self._watch.place != place:
            self._watch = self._watching(place)
        watching = asyncio.create_task(self._watch.round())
        changing = asyncio.create_task(self._until_another(place))
        try:
            await asyncio.wait([watching, changing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (watching, changing):
                task.cancel()
            await asyncio.gather(watching, changing, return_exceptions=True)
        if not watching.cancelled():
            watching.result()

    async def _until_another(self, place: WatchedMailbox) -> None:
        """Return when the settings differ from ``place``, or a reload is wanted."""
        while self._watch is not None and self._watched() == place:
            await self._until_changed(_LOOK_SECONDS)
            await self._parts.directory.current()

    async def _until_changed(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()

    def _watching(self, place: WatchedMailbox) -> MailboxWatch:
        parts = self._parts
        return MailboxWatch(
            place,
            self._handler,
            parts.db,
            parts.tables.claims,
            parts.tables.mailboxes,
            NetworkGuard.of(parts.config),
            parts.clock,
            self._owner,
        )
