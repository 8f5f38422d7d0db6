"""Cache of attachments on disk, shared by all processes of an instance."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Literal, NamedTuple

from mail_proxy.attachments.content import Content
from mail_proxy.attachments.memory_cache import Key
from mail_proxy.attachments.spool import Spool
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.ids import uuid7
from mail_proxy.kit.private_files import UnsafeFile, make_folder, open_private

_MD5 = re.compile(r"[0-9a-f]{32}")
_TENANT_DIGITS = 32
_COPY_BYTES = 262_144
_SWEEP_SECONDS = 60.0
#: A sweep reads the whole folder, a few thousand files at most.
_SWEEPS_IN_MAX = 32
#: A sweep makes room for as much, so that not every new file needs a sweep.
_ROOM = 0.1
#: Drafts of a process that has ended while it wrote.
_DRAFT_SECONDS = 3600.0
#: Device, inode, size and time of change of a file whose MD5 was found right.
_Signature = tuple[int, int, int, int]


class Lookup(NamedTuple):
    """Result of a look-up in the disk cache."""

    outcome: Literal["hit", "miss", "damaged"]
    content: Content | None = None


class DiskCache:
    """Files named by the MD5 of their content, up to about ``max_bytes`` in all.

    A file is dropped ``ttl_seconds`` after it was put, and if its MD5 is not its name. Several
    processes share ``folder``: files appear and disappear as a whole. Each process can put a
    thirty-second of ``max_bytes`` before it looks at the size of the folder again. Methods
    block, and are called by one thread at a time.
    """

    def __init__(
        self, folder: Path, spool: Spool, max_bytes: int, ttl_seconds: float, clock: Clock
    ) -> None:
        self._folder = folder
        self._spool = spool
        self._max_bytes = max_bytes
        self._ttl = ttl_seconds
        self._clock = clock
        self._whole: dict[str, _Signature] = {}
        self._swept_at: float | None = None
        self._put_since = 0

    def get(self, key: Key, *, most_in_memory: int) -> Lookup:
        """Look a content up; raises OSError if the disk fails.

        A content of up to ``most_in_memory`` bytes is read. A larger one is a file in the spool,
        which the caller removes: a hard link, so that it stays when the cache drops its own.
        """
        self._sweep_sometimes()
        name = _file_name(key)
        path = self._folder / name
        try:
            descriptor = open_private(path, os.O_RDONLY)
        except FileNotFoundError:
            return Lookup("miss")
        except UnsafeFile:
            self._drop(path)
            return Lookup("damaged")
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if self._is_expired(found):
                self._drop(path)
                return Lookup("miss")
            if not self._is_whole(key, file):
                self._drop(path)
                return Lookup("damaged")
            # The time of use, for the order in which files are dropped.
            os.utime(descriptor, ns=(int(self._clock.now() * 1e9), found.st_mtime_ns))
            if found.st_size <= most_in_memory:
                data = file.read()
                return Lookup("hit", Content(len(data), key.md5, data=data))
            content = Content(found.st_size, key.md5, path=self._lent(path, file))
            return Lookup("hit", content)

    def put(self, key: Key, content: Content) -> None:
        """Keep a content; raises OSError if the disk is full or fails.

        A file of the spool is linked and must not be changed afterwards. Other files are copied.
        """
        self._sweep_sometimes()
        if content.size > self._max_bytes:
            return
        draft = self._folder / f".{uuid7()}"
        try:
            self._write(draft, content)
            now = int(self._clock.now() * 1e9)
            os.utime(draft, ns=(now, now))
            draft.replace(self._folder / _file_name(key))
        finally:
            # Renaming a link over another link to the same file leaves both.
            draft.unlink(missing_ok=True)
        self._put_since += content.size

    def sweep(self) -> None:
        """Drop files that are too old, and those used longest ago if all are too large."""
        make_folder(self._folder)
        files: list[tuple[float, int, str]] = []
        for entry in os.scandir(self._folder):
            with suppress(FileNotFoundError):
                found = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    continue
                age = abs(self._clock.now() - found.st_mtime)
                if age > (_DRAFT_SECONDS if entry.name.startswith(".") else self._ttl):
                    self._drop(Path(entry.path))
                else:
                    files.append((found.st_atime, found.st_size, entry.name))
        total = sum(size for _, size, _ in files)
        if total > self._max_bytes:
            for _, size, name in sorted(files):
                if total <= self._max_bytes * (1 - _ROOM):
                    break
                self._drop(self._folder / name)
                total -= size
        there = {name for _, _, name in files}
        self._whole = {name: seen for name, seen in self._whole.items() if name in there}
        self._swept_at = self._clock.monotonic()
        self._put_since = 0

    def _sweep_sometimes(self) -> None:
        is_due = (
            self._swept_at is None
            or self._clock.monotonic() - self._swept_at >= _SWEEP_SECONDS
            or self._put_since >= self._max_bytes / _SWEEPS_IN_MAX
        )
        if is_due:
            self.sweep()

    def _is_expired(self, found: os.stat_result) -> bool:
        # A time in the future: the clock was set back.
        return abs(self._clock.now() - found.st_mtime) > self._ttl

    def _is_whole(self, key: Key, file: BufferedReader) -> bool:
        """Compare the MD5, unless this process has done so and the file has not changed."""
        name = _file_name(key)
        found = os.fstat(file.fileno())
        signature = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
        if self._whole.get(name) == signature:
            return True
        digest = hashlib.file_digest(file, _new_md5)
        file.seek(0)
        if digest.hexdigest() != key.md5:
            return False
        self._whole[name] = signature
        return True

    def _lent(self, path: Path, file: BufferedReader) -> Path:
        """Return a link to an open file in the spool; a copy if there can be no link."""
        lent = self._spool.new_path()
        with suppress(OSError):
            os.link(path, lent, follow_symlinks=False)
            if os.path.sameopenfile(file.fileno(), (opened := open_private(lent, os.O_RDONLY))):
                os.close(opened)
                return lent
            os.close(opened)
            lent.unlink()
        _copy(file, lent)
        return lent

    def _write(self, draft: Path, content: Content) -> None:
        if content.path is None:
            with os.fdopen(_created(draft), "wb") as file:
                file.write(content.data or b"")
            return
        if self._spool.holds(content.path):
            with suppress(OSError):
                os.link(content.path, draft, follow_symlinks=False)
                draft.chmod(0o600)
                return
        with content.path.open("rb") as source:
            _copy(source, draft)

    def _drop(self, path: Path) -> None:
        # A folder of this name was not made by the cache and stays.
        with suppress(FileNotFoundError, IsADirectoryError, PermissionError):
            path.unlink()
        self._whole.pop(path.name, None)


def _file_name(key: Key) -> str:
    if not _MD5.fullmatch(key.md5):
        raise ValueError("an MD5 has 32 hexadecimal digits in lower case")
    tenant = hashlib.sha256(key.tenant_id.encode()).hexdigest()[:_TENANT_DIGITS]
    return f"{key.md5}.{tenant}"


def _new_md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def _created(path: Path) -> int:
    return open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)


def _copy(source: BufferedReader, target: Path) -> None:
    with os.fdopen(_created(target), "wb") as file:
        shutil.copyfileobj(source, file, _COPY_BYTES)
