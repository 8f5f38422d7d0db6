"""Octets of an attachment, in memory or in a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Content:
    """Octets of an attachment: in ``data`` if they are few, else in the file ``path``.

    ``md5`` has 32 hexadecimal digits. The file does not change; its owner removes it.
    """

    size: int
    md5: str
    data: bytes | None = None
    path: Path | None = None

    def pieces(self, octets: int) -> Iterator[bytes]:
        """Yield the content in pieces of ``octets``, the last one may be shorter.

        A file is read while the caller waits.
        """
        if self.path is None:
            data = memoryview(self.data or b"")
            for start in range(0, self.size, octets):
                yield bytes(data[start : start + octets])
            return
        with self.path.open("rb") as file:
            while piece := file.read(octets):
                yield piece
