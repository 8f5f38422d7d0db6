"""Storage backend over fsspec, for object storage and other filesystems."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from typing import Any, cast
from urllib.parse import quote

from mail_proxy.errors import StorageError
from mail_proxy.kit.ids import uuid7
from mail_proxy.network.http_status import is_temporary
from mail_proxy.storage.backend import Found, OpenFile
from mail_proxy.storage.mount import Mount
from mail_proxy.storage.protocols import PROVIDERS, installed_errors

_READ_BLOCK = 1_048_576
#: S3 takes no smaller parts; two of them are in memory during an upload.
_WRITE_BLOCK = 5 * 1_048_576
_CHANGED = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


class RemoteFolder:
    """Files below ``root`` in a filesystem of fsspec."""

    def __init__(self, mount: Mount, filesystem: Any, root: str) -> None:
        self._protocol = mount.protocol
        self._filesystem = filesystem
        self._root = root
        self._errors = installed_errors(mount.protocol)

    def find(self, path: str) -> Found | None:
        with self._in_words():
            try:
                info = self._filesystem.info(self._at(path))
            except FileNotFoundError:
                return None
            is_folder = info.get("type") == "directory"
            changed = next((info[name] for name in _CHANGED if info.get(name)), 0.0)
            return Found(is_folder, int(info.get("size") or 0), _seconds(changed))

    def open(self, path: str) -> OpenFile:
        with self._in_words():
            opened = self._filesystem.open(
                self._at(path), "rb", block_size=_READ_BLOCK, cache_type="readahead"
            )
            return cast(OpenFile, _Reading(opened, self))

    def write(self, path: str, pieces: Iterable[bytes]) -> int:
        with self._in_words():
            if self._protocol in PROVIDERS:
                return self._written(path, pieces)
            # An object appears when its upload ends, other files when it begins.
            above, _, _ = path.rpartition("/")
            draft = f"{above}/.{uuid7()}".lstrip("/")
            self._filesystem.makedirs(self._at(above), exist_ok=True)
            with ExitStack() as unless_written:
                unless_written.callback(self._remove_draft, draft)
                size = self._written(draft, pieces)
                self._filesystem.mv(self._at(draft), self._at(path))
                unless_written.pop_all()
            return size

    def _remove_draft(self, draft: str) -> None:
        with suppress(*self._errors):
            self._filesystem.rm_file(self._at(draft))

    def _written(self, path: str, pieces: Iterable[bytes]) -> int:
        file = self._filesystem.open(self._at(path), "wb", block_size=_WRITE_BLOCK)
        with ExitStack() as unless_written:
            if self._protocol in PROVIDERS:
                unless_written.callback(_discard, file)
            else:
                unless_written.callback(file.close)
            size: int = sum(file.write(piece) for piece in pieces)
            file.close()
            unless_written.pop_all()
        return size

    def delete(self, path: str) -> None:
        with self._in_words():
            try:
                found = self._filesystem.info(self._at(path))
                if found.get("type") == "directory":
                    self._filesystem.rmdir(self._at(path))
                else:
                    self._filesystem.rm_file(self._at(path))
            except FileNotFoundError:
                return

    def mkdir(self, path: str) -> None:
        """Make a folder; object storage has none, so there this does nothing."""
        if self._protocol in PROVIDERS:
            return
        with self._in_words():
            self._filesystem.makedirs(self._at(path), exist_ok=True)

    def names(self, path: str, most: int) -> list[str]:
        with self._in_words():
            listed = self._filesystem.ls(self._at(path), detail=False)
        own = self._at(path).rstrip("/")
        names = {each.rstrip("/").rpartition("/")[2] for each in listed if each.rstrip("/") != own}
        return sorted(names)[:most]

    def presigned(self, path: str, seconds: int, filename: str) -> str | None:
        disposition = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
        named = {
            "s3": {"ResponseContentDisposition": disposition},
            "gcs": {"response_disposition": disposition},
            "azure": {"content_disposition": disposition},
        }.get(self._protocol)
        if named is None:
            return None
        with self._in_words():
            return str(self._filesystem.sign(self._at(path), expiration=seconds, **named))

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Raise the errors of all libraries as StorageError, without their texts."""
        try:
            yield
        except FileNotFoundError:
            raise StorageError("no such file") from None
        except PermissionError:
            raise StorageError("the storage refuses access") from None
        except self._errors as error:
            status = _status(error)
            is_final = 400 <= status < 500 and not is_temporary(status)
            words = f"the storage answers {status}" if status else "the storage cannot be reached"
            raise StorageError(words, is_temporary=not is_final) from error


class _Reading:
    """File of fsspec whose errors are StorageError."""

    def __init__(self, file: Any, folder: RemoteFolder) -> None:
        self._file = file
        self._folder = folder

    def read(self, octets: int) -> bytes:
        with self._folder._in_words():
            return bytes(self._file.read(octets))

    def seek(self, position: int) -> int:
        return int(self._file.seek(position))

    def close(self) -> None:
        self._file.close()


def _discard(file: Any) -> None:
    """Give an unfinished file up; closing it would store what was written so far."""
    # Before anything else: its destructor closes it as well.
    file.closed = True
    discard = getattr(file, "discard", None)
    if discard is not None:
        discard()


def _status(error: BaseException) -> int:
    """Return the HTTP status in an error of any of the libraries, or 0."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    for name in ("status_code", "status", "code"):
        value = getattr(error, name, None)
        if isinstance(value, int):
            return value
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return 403
    return 0


def _seconds(changed: Any) -> float:
    if isinstance(changed, datetime):
        return changed.timestamp()
    if isinstance(changed, str):
        return datetime.fromisoformat(changed).timestamp()
    return float(changed)
