"""Carry facts between hosts that share a PostgreSQL database (LISTEN and NOTIFY).

Notifications only save waiting. A host that misses one finds the same rows by its own polling.
"""

from __future__ import annotations

from mail_proxy.kit.bus import Bus, Fact, Reach
from mail_proxy.kit.wakeup import Wakeup
from mail_proxy.kit.worker import Worker
from mail_proxy.sql.db import Connection, SqlDb


class HostSignals:
    """Transport of facts that sends NOTIFY to the other hosts and listens for theirs."""

    name = "host signals"
    reach = Reach.HOSTS

    def __init__(self, db: SqlDb, own_name: str, bus: Bus) -> None:
        """Connect to the bus. A host ignores its own notifications, by ``own_name``."""
        self._db = db
        self._own_name = own_name
        self._bus = bus
        #: Lines to send, in order. A fact that is already waiting is not added again.
        self._waiting: dict[str, None] = {}
        self._wakeup = Wakeup()
        self._workers = (Worker("notify.send", self._send), Worker("notify.listen", self._listen))
        if db.adapter.has_notify:
            bus.connect(self)

    @property
    def alive(self) -> bool:
        """True if both loops run; always True on SQLite, which has no other host."""
        return all(worker.alive for worker in self._workers) or not self._db.adapter.has_notify

    async def start(self) -> None:
        """Start the loops if the database has NOTIFY."""
        if self._db.adapter.has_notify:
            for worker in self._workers:
                worker.start()

    async def stop(self, deadline: float) -> None:
        """Stop at once; facts that are not sent yet are dropped."""
        for worker in self._workers:
            await worker.stop()

    def send(self, line: str) -> None:
        """Send a dumped fact with the next NOTIFY."""
        self._waiting[line] = None
        self._wakeup.ring()

    async def _send(self) -> None:
        await self._wakeup.wait(None)
        lines, self._waiting = list(self._waiting), {}
        await self._db.write(self._notify, lines)

    def _notify(self, connection: Connection, lines: list[str]) -> None:
        for line in lines:
            self._db.adapter.notify(connection, f"{self._own_name} {line}")

    async def _listen(self) -> None:
        async for notification in self._db.adapter.listen():
            sender, _, line = notification.partition(" ")
            fact = None if sender == self._own_name else Fact.load(line)
            if fact is not None:
                self._bus.publish(fact, source=self)
