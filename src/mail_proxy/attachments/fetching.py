"""Fetch of one attachment: its request, its errors, the content that arrives."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Protocol

from mail_proxy.attachments.content import Content
from mail_proxy.attachments.spool import Spool
from mail_proxy.domain.attachment import Attachment
from mail_proxy.domain.tenant import ClientAuth, Tenant
from mail_proxy.kit.private_files import UnsafeFile, open_private, reason_of

#: A larger content is written to a file while it arrives.
MOST_IN_MEMORY = 100_000
_MB = 1_000_000


class FetchFailed(Exception):
    """An attachment could not be fetched; the text says why, without secrets.

    ``is_temporary``: a later attempt may succeed.
    """

    def __init__(self, reason: str, *, is_temporary: bool = False) -> None:
        super().__init__(reason)
        self.is_temporary = is_temporary


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """Attachment to fetch for a tenant; ``auth`` is its own login, opened.

    ``most_octets`` replaces the limit of attachments.
    """

    tenant: Tenant
    attachment: Attachment
    auth: ClientAuth | None = None
    most_octets: int | None = None


class Fetcher(Protocol):
    """Gets the content of attachments of one mode."""

    async def fetch(self, request: FetchRequest, draft: Draft) -> None:
        """Write the content to ``draft``; raises FetchFailed."""


class Draft:
    """Content that arrives piece by piece, in memory or in a file of the spool.

    Up to 100 kB stay in memory. Methods may block, and may be called by several threads: a fetch
    that is given up is discarded while a thread still writes. Either ``finish`` or ``discard`` ends
    it.
    """

    def __init__(
        self, spool: Spool, most_octets: int, *, most_in_memory: int = MOST_IN_MEMORY
    ) -> None:
        """``most_octets`` is the largest content that is taken."""
        self.size = 0
        self._spool = spool
        self._most = most_octets
        self._most_in_memory = most_in_memory
        self._pieces: list[bytes] = []
        self._path: Path | None = None
        self._file: BinaryIO | None = None
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._lock = Lock()

    def expect(self, octets: int) -> None:
        """Raise FetchFailed if a content of this size is too large."""
        if octets > self._most:
            raise too_large(octets, self._most)

    def check_size(self, octets: int) -> None:
        """Raise FetchFailed if another number of octets was written."""
        if self.size != octets:
            raise FetchFailed("has changed while it was read", is_temporary=True)

    def write(self, piece: bytes) -> None:
        """Add octets. Raises FetchFailed if there are too many, or no room on the disk."""
        with self._lock:
            self._write(piece)

    def _write(self, piece: bytes) -> None:
        self.size += len(piece)
        self.expect(self.size)
        self._md5.update(piece)
        if self._file is None and self.size > self._most_in_memory:
            self._begin_file()
        if self._file is None:
            self._pieces.append(piece)
            return
        try:
            self._file.write(piece)
        except OSError as error:
            raise _no_room(error) from error

    def finish(self) -> Content:
        """Return the content. A file is its caller's to remove."""
        md5 = self._md5.hexdigest()
        if self._file is None:
            return Content(self.size, md5, data=b"".join(self._pieces))
        try:
            self._file.close()
        except OSError as error:
            raise _no_room(error) from error
        return Content(self.size, md5, path=self._path)

    def discard(self) -> None:
        """Remove the file of a content that is not used. Nothing can be written any more."""
        with self._lock:
            self._discard()

    def _discard(self) -> None:
        self._most = -1
        self._pieces = []
        if self._file is not None:
            self._file.close()
        if self._path is not None:
            path, self._path = self._path, None
            path.unlink(missing_ok=True)

    def _begin_file(self) -> None:
        try:
            self._path = self._spool.new_path()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            file = os.fdopen(open_private(self._path, flags), "wb", buffering=262_144)
            self._file = file
            file.writelines(self._pieces)
        except (OSError, UnsafeFile) as error:
            raise _no_room(error) from error
        self._pieces = []


def too_large(octets: int, most_octets: int) -> FetchFailed:
    """Return the error about a content of more octets than max_attachment_mb allows."""
    return FetchFailed(f"has {in_mb(octets)} or more; allowed: {in_mb(most_octets)}")


def in_mb(octets: int) -> str:
    """Return a size in MB (10^6 bytes), with three digits behind the point at most."""
    return f"{octets / _MB:.3f}".rstrip("0").rstrip(".") + " MB"


def _no_room(error: OSError | UnsafeFile) -> FetchFailed:
    return FetchFailed(f"cannot be kept on this machine: {reason_of(error)}", is_temporary=True)
