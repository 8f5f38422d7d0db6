"""Folders and mails of the IMAP server for tests, in memory."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

SEEN, DELETED = "\\Seen", "\\Deleted"


@dataclass(slots=True)
class StoredMail:
    """Mail in a folder. ``received_at`` is in Unix seconds."""

    uid: int
    octets: bytes
    flags: set[str]
    received_at: float = field(default_factory=time.time)


class Folder:
    """Folder with its mails, by rising UID (RFC 3501 section 2.3.1.1)."""

    def __init__(self, name: str, uidvalidity: int) -> None:
        self.name = name
        self.uidvalidity = uidvalidity
        self.uidnext = 1
        self.mails: dict[int, StoredMail] = {}

    def add(self, octets: bytes, flags: Iterable[str] = ()) -> StoredMail:
        """Append a mail; its UID is the next one."""
        mail = StoredMail(self.uidnext, octets, set(flags))
        self.mails[mail.uid] = mail
        self.uidnext += 1
        return mail

    def expunge(self, uids: Collection[int] | None = None) -> list[int]:
        """Remove mails marked as deleted, or those among ``uids``; return their UIDs."""
        gone = [
            uid
            for uid, mail in self.mails.items()
            if DELETED in mail.flags and (uids is None or uid in uids)
        ]
        for uid in gone:
            del self.mails[uid]
        return gone


class Folders:
    """Folders of one user. INBOX is always there, and its name has no case."""

    def __init__(self) -> None:
        self._last_validity = int(time.time())
        self._all: dict[str, Folder] = {}
        self.create("INBOX")

    @property
    def names(self) -> list[str]:
        """Return the names of all folders, sorted."""
        return sorted(self._all)

    def find(self, name: str) -> Folder | None:
        """Return the folder with a name, or None."""
        return self._all.get(_plain(name))

    def create(self, name: str) -> Folder:
        """Make a folder, with a UIDVALIDITY that no other has had."""
        self._last_validity += 1
        folder = self._all[_plain(name)] = Folder(_plain(name), self._last_validity)
        return folder

    def remove(self, name: str) -> None:
        """Remove a folder with its mails."""
        self._all.pop(_plain(name), None)


def _plain(name: str) -> str:
    return "INBOX" if name.upper() == "INBOX" else name
