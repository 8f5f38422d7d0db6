"""Registry of a process's HTTP connections, with a bound on their number.

When it is full, idle connections are closed.
"""

from __future__ import annotations

import resource
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

from mail_proxy.http.limits import MOST_UNREAD_BYTES
from mail_proxy.telemetry.log import Action, log

#: A flood of connections must not become a flood of log lines.
_LOG_PAUSE_SECONDS = 10.0
#: Looking for idle connections costs about 0.1 ms for a thousand, so several are closed at once.
_CLOSED_AT_ONCE = 32


class Peer(Protocol):
    """Interface of a connection for the registry."""

    address: str

    @property
    def is_idle(self) -> bool:
        """True if no request is being worked on, or its client does not read the answer."""

    def abort(self) -> None:
        """Close at once, and drop octets that are not written yet."""


class Connections:
    """The open connections, in the order of their opening.

    ``most`` is a setting; a process that may open few files takes half of these at most, because
    database, SMTP and callbacks need descriptors too.
    """

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.most = most if files == resource.RLIM_INFINITY else min(most, max(files // 2, 1))
        self._clock = clock
        self._open: dict[Peer, None] = {}
        self._unread: dict[Peer, int] = {}
        self._unread_bytes = 0
        self._shed = 0
        self._log_at = 0.0

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._open)

    def add(self, peer: Peer) -> bool:
        """Register a new connection; False if there is no room and none can be closed.

        Idle connections make room: the oldest of the address that has the most of them. So a
        stranger who opens connections and sends nothing closes his own.
        """
        if len(self._open) >= self.most and not self._make_room():
            return False
        self._open[peer] = None
        return True

    def remove(self, peer: Peer) -> None:
        """Forget a connection that is closed."""
        self._open.pop(peer, None)
        self.flows(peer)

    def stalls(self, peer: Peer, unread_bytes: int) -> None:
        """Note that a client does not read its answer.

        Over the limit of unread bytes, the connections that have stalled longest are aborted.

        One answer that is larger than the limit is allowed if it is the only one.
        """
        self.flows(peer)
        self._unread[peer] = unread_bytes
        self._unread_bytes += unread_bytes
        while self._unread_bytes > MOST_UNREAD_BYTES and len(self._unread) > 1:
            oldest = next(iter(self._unread))
            self.flows(oldest)
            self._note(1)
            oldest.abort()

    def flows(self, peer: Peer) -> None:
        """Note that a client reads again."""
        self._unread_bytes -= self._unread.pop(peer, 0)

    def _make_room(self) -> bool:
        idle: dict[str, list[Peer]] = defaultdict(list)
        for peer in self._open:
            if peer.is_idle:
                idle[peer.address].append(peer)
        most = max(idle.values(), key=len, default=[])
        closed = most[: max(1, min(_CLOSED_AT_ONCE, len(most) // 2))]
        self._note(len(closed) or 1)
        for peer in closed:
            self.remove(peer)
            peer.abort()
        return bool(closed)

    def _note(self, count: int) -> None:
        self._shed += count
        now = self._clock()
        if now >= self._log_at:
            log(Action.CONNECTIONS_SHED, count=self._shed, open=len(self._open), most=self.most)
            self._shed, self._log_at = 0, now + _LOG_PAUSE_SECONDS
