"""Storage backend of a folder on disk; neither ``..`` nor links lead out."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from mail_proxy.errors import StorageError
from mail_proxy.kit.ids import uuid7
from mail_proxy.storage.backend import Found

#: Failures that the next attempt may not meet.
_PASSING = {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ESTALE}
_MISSING = {errno.ENOENT, errno.ENOTDIR}


class LocalFolder:
    """Files below a folder ``root``.

    Its real path must be in one of ``within``, if that is not None.
    Each file is opened without effect first (``O_PATH``). Its real path, as the system knows it
    then, has to be below the root. So a link that is changed meanwhile gains nothing.
    """

    def __init__(self, root: Path, within: Sequence[Path] | None = None) -> None:
        self._root = root
        self._within = within

    def find(self, path: str) -> Found | None:
        try:
            with self._reached(path) as descriptor:
                found = os.fstat(descriptor)
        except FileNotFoundError:
            return None
        return Found(stat.S_ISDIR(found.st_mode), found.st_size, found.st_mtime)

    def open(self, path: str) -> BinaryIO:
        try:
            with self._reached(path) as descriptor:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise StorageError("is no file")
                return os.fdopen(os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY), "rb")
        except FileNotFoundError:
            raise StorageError("no such file") from None

    def write(self, path: str, pieces: Iterable[bytes]) -> int:
        above, _, name = path.rpartition("/")
        draft = f".{uuid7()}"
        with self._reached(above, make=True) as folder, _in_words():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(draft, flags, 0o666, dir_fd=folder)
            with ExitStack() as unless_written:
                unless_written.callback(os.unlink, draft, dir_fd=folder)
                with os.fdopen(descriptor, "wb") as file:
                    size = sum(file.write(piece) for piece in pieces)
                    file.flush()
                    os.fsync(descriptor)
                os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
                unless_written.pop_all()
        return size

    def delete(self, path: str) -> None:
        above, _, name = path.rpartition("/")
        with suppress(FileNotFoundError), self._reached(above) as folder, _in_words():
            try:
                os.unlink(name, dir_fd=folder)
            except IsADirectoryError:
                os.rmdir(name, dir_fd=folder)

    def mkdir(self, path: str) -> None:
        with self._reached(path, make=True):
            pass

    def names(self, path: str, most: int) -> list[str]:
        try:
            with self._reached(path) as descriptor, _in_words():
                with os.scandir(f"/proc/self/fd/{descriptor}") as entries:
                    return sorted(entry.name for entry in islice(entries, most))
        except FileNotFoundError:
            raise StorageError("no such folder") from None

    def presigned(self, path: str, seconds: int, filename: str) -> None:
        return None

    @contextmanager
    def _reached(self, path: str, *, make: bool = False) -> Iterator[int]:
        """Give a descriptor of a file or folder below the root, which only names it.

        ``make``: it is a folder, which is made if it does not exist. Raises FileNotFoundError.
        """
        root = Path(os.path.realpath(self._root))
        with _in_words():
            if make:
                root.mkdir(parents=True, exist_ok=True)
            descriptor = _named(root)
        try:
            self._check(descriptor, root)
            for part in path.split("/") if path else ():
                above = descriptor
                try:
                    with _in_words():
                        if make:
                            with suppress(FileExistsError):
                                os.mkdir(part, dir_fd=above)
                        descriptor = _named(part, above)
                finally:
                    if descriptor != above:
                        os.close(above)
                self._check(descriptor, root)
            yield descriptor
        finally:
            os.close(descriptor)

    def _check(self, descriptor: int, root: Path) -> None:
        """Raise StorageError if an open file is not below the root."""
        real = Path(f"/proc/self/fd/{descriptor}").readlink()
        is_within = self._within is None or any(
            real.is_relative_to(os.path.realpath(folder)) for folder in self._within
        )
        if not real.is_relative_to(root) or not is_within:
            raise StorageError("leads out of its folder")


def _named(path: str | Path, folder: int | None = None) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC, dir_fd=folder)


@contextmanager
def _in_words() -> Iterator[None]:
    """Raise errors of the system as FileNotFoundError or StorageError, without paths."""
    try:
        yield
    except OSError as error:
        if error.errno in _MISSING:
            raise FileNotFoundError from None
        words = error.strerror or type(error).__name__
        raise StorageError(words, is_temporary=error.errno in _PASSING) from None
