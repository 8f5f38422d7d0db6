"""Interface of storage backends: folders on disk, and object storage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Found:
    """A file or folder: its size in bytes and the Unix time of its last change."""

    is_folder: bool
    size: int
    mtime: float


class OpenFile(Protocol):
    """An open file, read from any position."""

    def read(self, octets: int, /) -> bytes: ...
    def seek(self, position: int, /) -> int: ...
    def close(self) -> None: ...


class Backend(Protocol):
    """Files of one mount; all methods block.

    Paths are clean and relative; the empty path is the mount's root. Errors are ``StorageError``. A
    written file appears as a whole or not at all.
    """

    def find(self, path: str) -> Found | None:
        """Return what there is at a path, or None."""

    def open(self, path: str) -> OpenFile:
        """Open a file to read."""

    def write(self, path: str, pieces: Iterable[bytes]) -> int:
        """Write a file, with the folders above it; return its size."""

    def delete(self, path: str) -> None:
        """Remove a file or an empty folder, if it exists."""

    def mkdir(self, path: str) -> None:
        """Make a folder and those above it, unless they exist."""

    def names(self, path: str, most: int) -> list[str]:
        """Return the names in a folder in order, at most ``most``."""

    def presigned(self, path: str, seconds: int, filename: str) -> str | None:
        """Return a URL of the provider that saves as ``filename``; None if it has none."""
