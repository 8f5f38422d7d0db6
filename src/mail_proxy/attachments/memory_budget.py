"""Budget of the attachments that are in memory while their mails are sent."""

from __future__ import annotations

import weakref
from threading import RLock

from mail_proxy.attachments.content import Content


class MemoryBudget:
    """Octets of contents in memory.

    Nothing waits for room. Without room, a content is kept in a file.
    """

    def __init__(self, most_octets: int) -> None:
        self.held_octets = 0
        self._most = most_octets
        # A content is given back by the thread that used it last, in the middle of anything.
        self._lock = RLock()

    def take(self, content: Content) -> bool:
        """Count a content as long as it is used; return False if there is no room."""
        with self._lock:
            if self.held_octets + content.size > self._most:
                return False
            self.held_octets += content.size
        weakref.finalize(content, self._give_back, content.size).atexit = False
        return True

    def _give_back(self, octets: int) -> None:
        with self._lock:
            self.held_octets -= octets
