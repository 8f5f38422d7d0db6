"""Wake-ups between the hosts that share a PostgreSQL database (LISTEN and NOTIFY).

They only save waiting: whoever misses one finds the same things by its own polling.
"""

from __future__ import annotations

from collections.abc import Callable

from mail_proxy.kit.wakeup import Wakeup
from mail_proxy.kit.worker import Worker
from mail_proxy.sql.db import Connection, SqlDb


class HostSignals:
    """Tells the others what was committed here, and hears what was committed there."""

    def __init__(self, db: SqlDb, own_name: str, heard: Callable[[str], None]) -> None:
        """``own_name`` is unique among the processes; ``heard`` gets the others' notices."""
        self._db = db
        self._own_name = own_name
        self._heard = heard
        self._waiting: dict[str, None] = {}
        self._bell = Wakeup()
        self._workers = (Worker("notices.send", self._send), Worker("notices.hear", self._hear))

    def start(self) -> None:
        """Begin, on a database that has notices; on SQLite there is no other host."""
        if self._db.adapter.has_notices:
            for worker in self._workers:
                worker.start()

    async def stop(self) -> None:
        """Stop; what was not told yet is not told."""
        for worker in self._workers:
            await worker.stop()

    def tell(self, notice: str) -> None:
        """Tell the others soon. The same notice again, before it has gone out, goes once."""
        self._waiting[notice] = None
        self._bell.ring()

    async def _send(self) -> None:
        await self._bell.wait(None)
        notices, self._waiting = list(self._waiting), {}
        await self._db.write(self._notify, notices)

    def _notify(self, connection: Connection, notices: list[str]) -> None:
        for notice in notices:
            self._db.adapter.notify(connection, f"{self._own_name} {notice}")

    async def _hear(self) -> None:
        async for line in self._db.adapter.notices():
            sender, _, notice = line.partition(" ")
            if sender != self._own_name:
                self._heard(notice)
