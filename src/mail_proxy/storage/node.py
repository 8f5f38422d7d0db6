"""A file or folder in a mount."""

from __future__ import annotations

import hashlib
import math
import mimetypes
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from mail_proxy.errors import StorageError
from mail_proxy.storage.backend import Backend, Found, OpenFile
from mail_proxy.storage.mount import Mount, clean_path

if TYPE_CHECKING:
    from mail_proxy.storage.manager import StorageManager

#: S3 refuses longer ones.
MOST_S3_SECONDS = 604_800
_PIECE_BYTES = 262_144
_MOST_IN_MEMORY = 100_000_000
_MOST_CHILDREN = 10_000
Result = TypeVar("Result")


class StorageNode:
    """The file or folder ``path`` of a mount, which need not exist.

    Methods that touch the storage are coroutines and raise StorageError.
    """

    def __init__(self, manager: StorageManager, mount: Mount, path: str) -> None:
        self._manager = manager
        self._mount = mount
        self.path = path

    def __repr__(self) -> str:
        return f"StorageNode({self.fullpath!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StorageNode):
            return NotImplemented
        return (self._mount, self.path) == (other._mount, other.path)

    def __hash__(self) -> int:
        return hash((self._mount.tenant_id, self.fullpath))

    @property
    def mount_name(self) -> str:
        """Name of the mount."""
        return self._mount.name

    @property
    def fullpath(self) -> str:
        """Reference ``<mount>:<path>``."""
        return f"{self._mount.name}:{self.path}"

    @property
    def basename(self) -> str:
        """Last part of the path, such as ``report.pdf``; empty for the root."""
        return PurePosixPath(self.path).name

    @property
    def stem(self) -> str:
        """The basename without its suffix."""
        return PurePosixPath(self.path).stem

    @property
    def suffix(self) -> str:
        """The end of the basename from its last dot on, such as ``.pdf``."""
        return PurePosixPath(self.path).suffix

    @property
    def parent(self) -> StorageNode:
        """The folder of this file or folder; the root is its own parent."""
        return StorageNode(self._manager, self._mount, self.path.rpartition("/")[0])

    @property
    def mimetype(self) -> str:
        """MIME type by the suffix; ``application/octet-stream`` if it is unknown."""
        return mimetypes.guess_type(self.basename)[0] or "application/octet-stream"

    @property
    def longest_url_seconds(self) -> float:
        """Time that a link can be valid at most; S3 limits its own to seven days."""
        return MOST_S3_SECONDS if self._mount.protocol == "s3" else math.inf

    def child(self, *parts: str) -> StorageNode:
        """Return the file or folder of this name, or at this path, in this folder."""
        below = clean_path("/".join(parts))
        joined = "/".join(part for part in (self.path, below) if part)
        return StorageNode(self._manager, self._mount, joined)

    async def find(self) -> Found | None:
        """Return kind, size and time of change, or None if it does not exist."""
        return await self._run(lambda backend: backend.find(self.path))

    async def exists(self) -> bool:
        """Return whether the file or folder exists."""
        return await self.find() is not None

    async def is_file(self) -> bool:
        """Return whether it is a file."""
        found = await self.find()
        return found is not None and not found.is_folder

    async def is_dir(self) -> bool:
        """Return whether it is a folder."""
        found = await self.find()
        return found is not None and found.is_folder

    async def size(self) -> int:
        """Return the size in bytes."""
        return (await self._found()).size

    async def mtime(self) -> float:
        """Return the time of the last change, Unix seconds."""
        return (await self._found()).mtime

    async def read_bytes(self, most: int = _MOST_IN_MEMORY) -> bytes:
        """Return the content; StorageError if it has more than ``most`` bytes."""
        read, total = list[bytes](), 0
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                total += len(piece)
                if total > most:
                    raise StorageError(f"the file has more than {most} bytes")
                read.append(piece)
        return b"".join(read)

    async def read_text(self, encoding: str = "utf-8") -> str:
        """Return the content as text."""
        try:
            return (await self.read_bytes()).decode(encoding)
        except UnicodeDecodeError:
            raise StorageError(f"the file is no text in {encoding}") from None

    async def pieces(
        self, octets: int = _PIECE_BYTES, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the content from ``start`` up to ``end`` in pieces of at most ``octets``.

        Close the generator (``aclosing``) if it may not be read to its end.
        """
        file = await self._run(lambda backend: backend.open(self.path))
        try:
            if start:
                await self._run(lambda backend: file.seek(start))
            left = None if end is None else end - start
            while left is None or left > 0:
                wanted = octets if left is None else min(octets, left)
                piece = await self._run(partial(_read, file, wanted))
                if not piece:
                    break
                left = None if left is None else left - len(piece)
                yield piece
        finally:
            self._manager.release(file.close)

    async def write_bytes(self, data: bytes) -> None:
        """Write a file; it appears as a whole, or not at all."""
        await self.write_pieces([data])

    async def write_text(self, text: str, encoding: str = "utf-8") -> None:
        """Write a text file; it appears as a whole, or not at all."""
        await self.write_bytes(text.encode(encoding))

    async def write_pieces(self, pieces: Iterable[bytes]) -> int:
        """Write a file from pieces, which may be read on a thread; return its size.

        About 15 MB are in memory at a time, however large the file is.
        """
        self._refuse_root()
        manager = self._manager
        return await manager.run_long(self._mount, lambda b: b.write(self.path, pieces))

    async def delete(self) -> None:
        """Remove the file or the empty folder, if it exists."""
        self._refuse_root()
        await self._run(lambda backend: backend.delete(self.path))

    async def mkdir(self) -> None:
        """Make the folder and those above it; object storage needs none."""
        await self._run(lambda backend: backend.mkdir(self.path))

    async def children(self) -> list[StorageNode]:
        """Return the files and folders in this folder by name, at most 10 000."""
        names = await self._run(lambda backend: backend.names(self.path, _MOST_CHILDREN))
        return [self.child(name) for name in names]

    async def md5hash(self) -> str:
        """Return the MD5 of the content, 32 hexadecimal digits."""
        digest = hashlib.md5(usedforsecurity=False)
        async for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    async def url(self, expires_at: float, *, now: float, filename: str | None = None) -> str:
        """Return a link that ends at ``expires_at``, Unix seconds like ``now``.

        It is the provider's own signed URL. Without one it has a signed token, which
        ``verify_url_token`` checks. S3 limits its URLs to seven days.
        """
        name = filename or self.basename
        signed = await self.presigned_url(expires_at, now=now, filename=name)
        if signed is not None:
            return signed
        links = self._manager.links
        if links is None:
            raise StorageError("this storage has no URLs")
        token = links.signer.token(self._subject, expires_at)
        return f"{links.base_url}/{token}/{quote(name, safe='')}"

    async def presigned_url(self, expires_at: float, *, now: float, filename: str) -> str | None:
        """Return the provider's own signed URL, or None if it has none."""
        seconds = int(min(max(expires_at - now, 1), self.longest_url_seconds))
        return await self._run(lambda backend: backend.presigned(self.path, seconds, filename))

    def verify_url_token(self, token: str, *, now: float) -> bool:
        """Return whether a token of ``url`` is for this file and has not expired."""
        links = self._manager.links
        signed = links.signer.find(token, now) if links is not None else None
        return signed is not None and signed.file == self._subject

    @property
    def _subject(self) -> bytes:
        named = f"{self._mount.tenant_id}\0{self.fullpath}"
        return hashlib.sha256(named.encode()).digest()[:16]

    async def _found(self) -> Found:
        found = await self.find()
        if found is None:
            raise StorageError("no such file")
        return found

    def _refuse_root(self) -> None:
        if not self.path:
            raise StorageError("the root of a storage is no file")

    async def _run(self, work: Callable[[Backend], Result]) -> Result:
        return await self._manager.run(self._mount, work)


def _read(file: OpenFile, octets: int, backend: Backend) -> bytes:
    return file.read(octets)
