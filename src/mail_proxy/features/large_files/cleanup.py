"""Service that removes large files whose time is over."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.features.large_files.kept import kept_files
from mail_proxy.kit.ids import uuid7
from mail_proxy.kit.liveness import has_ended, process_mark, process_space
from mail_proxy.kit.worker import Worker
from mail_proxy.operations.parts import Parts
from mail_proxy.telemetry.log import ServiceAction, log

_CLAIM = "cleanup:files"
_CLAIM_SECONDS = 240.0
_INTERVAL_SECONDS = 300.0
#: In one round, so that it ends within the claim.
_MOST_FILES = 100


class FileCleanup:
    """Loop that removes files every five minutes.

    One process at a time does it, over all hosts.
    """

    name = "large files"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._files = kept_files(parts.db, parts.tables, parts.directory, parts.config, parts.clock)
        self._is_on = parts.config.scheduler_active and not parts.config.test_mode
        self._space = process_space()
        self._owner = process_mark(uuid7(), self._space)
        self._worker = Worker("large files", self._round)

    @property
    def alive(self) -> bool:
        """True if the loop runs, or has nothing to do."""
        return self._worker.alive or not self._is_on

    async def start(self) -> None:
        """Start the loop."""
        if self._is_on:
            self._worker.start()

    async def stop(self, deadline: float) -> None:
        """Stop; a file that is being removed is removed by the next process."""
        if not self._worker.alive:
            return
        await self._worker.stop()
        with suppress(DatabaseUnavailable):  # the claim expires
            await self._parts.db.write(self._parts.tables.claims.release, self._owner)

    async def _round(self) -> None:
        if await self._claimed():
            async with asyncio.timeout(_CLAIM_SECONDS):
                removed = await self._files.remove_expired(_MOST_FILES)
            if removed:
                log(ServiceAction.FILES_REMOVED, rows=removed)
        await asyncio.sleep(_INTERVAL_SECONDS)

    async def _claimed(self) -> bool:
        """Take the claim, also that of a process of this host that has ended."""
        claims, db = self._parts.tables.claims, self._parts.db
        for owner in await db.read(claims.owners):
            if has_ended(owner, self._space):
                await db.write(claims.release, owner)
        now = self._parts.clock.now()
        return await db.write(claims.take, _CLAIM, self._owner, now, _CLAIM_SECONDS)
