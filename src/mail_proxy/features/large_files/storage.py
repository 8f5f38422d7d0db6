"""Upload of large files, and links to them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import quote
from uuid import UUID
from weakref import WeakValueDictionary

from mail_proxy.domain.large_files import FileLink, LargeFileConfig
from mail_proxy.errors import ConstraintViolated, StorageError
from mail_proxy.features.large_files.places import folder_of
from mail_proxy.features.large_files.table import LargeFilesTable
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.ids import uuid7
from mail_proxy.sql import SqlDb
from mail_proxy.sql.table import Row
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.link_secret import LinkSecretTable
from mail_proxy.storage import StorageManager, StorageNode
from mail_proxy.storage.url_token import UrlSigner

_PIECE_BYTES = 262_144
#: Octets; file systems take 255.
_LONGEST_NAME = 150


class Readable(Protocol):
    """Octets of a known number, read in pieces, several times."""

    @property
    def size(self) -> int: ...

    def pieces(self, octets: int) -> Iterator[bytes]: ...


class LargeFileStorage:
    """Keeps large files of tenants, the same content once, and makes links to them.

    ``base_url`` is the URL of ``/files`` of this service. Methods raise StorageError.
    """

    def __init__(
        self, db: SqlDb, tables: Tables, storages: StorageManager, clock: Clock, base_url: str
    ) -> None:
        self._db = db
        self._table = tables.of_feature(LargeFilesTable)
        self._secrets = tables.of_feature(LinkSecretTable)
        self._storages = storages
        self._clock = clock
        self._base_url = base_url
        self._signer: UrlSigner | None = None
        self._uploading: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def keep(
        self, tenant_id: str, config: LargeFileConfig, content: Readable, filename: str
    ) -> FileLink:
        """Upload a content, unless it is there already, and return a link to it.

        A few MB are in memory at a time.
        """
        if config.storage_url is None:
            raise StorageError("large_file_config has no storage_url")
        sha256 = await asyncio.to_thread(_sha256, content)
        folder = folder_of(self._storages, config.storage_url, tenant_id)
        seconds = min(config.ttl_seconds, folder.longest_url_seconds)
        expires_at = self._clock.now() + config.ttl_seconds
        same: Row = {
            "tenant_id": tenant_id,
            "place": config.storage_url,
            "sha256": sha256,
            "size": content.size,
        }
        key = repr(same)
        lock = self._uploading.setdefault(key, asyncio.Lock())
        async with lock:
            row = await self._db.write(self._table.reuse, same, config.lifespan_seconds, expires_at)
            if row is not None and not await self.is_whole(row):
                await self._db.write(self._table.forget, row["id"])
                row = None
            if row is None:
                row = await self._upload(same, config, content, filename, expires_at)
        link_until = self._clock.now() + seconds
        url = await self._url(row, config, filename, link_until)
        until = datetime.fromtimestamp(link_until, UTC).strftime("%Y-%m-%d")
        return FileLink(filename, content.size, url, until)

    async def find(self, token: str) -> Row | None:
        """Return the file of a token, or None if it is not valid or its file is gone."""
        signed = (await self.signer()).find(token, self._clock.now())
        if signed is None:
            return None
        return await self._db.read(self._table.ready, str(UUID(bytes=signed.file)))

    async def downloaded(self, row: Row) -> None:
        """Note a download."""
        await self._db.write(self._table.downloaded, row, self._clock.now())

    async def is_whole(self, row: Row) -> bool:
        """Return whether the stored file is there, with its size."""
        found = await self.node(row).find()
        return found is not None and not found.is_folder and found.size == row["size"]

    async def remove_expired(self, most: int) -> int:
        """Remove files whose time is over, at most ``most``; return how many.

        A file that cannot be removed is tried again an hour later. It is forgotten if its storage
        is gone.
        """
        rows = await self._db.write(self._table.take_expired, self._clock.now(), most)
        removed = 0
        for row in rows:
            try:
                await self.node(row).delete()
            except StorageError:
                if self._has_place(row):
                    continue
            await self._db.write(self._table.forget, row["id"])
            removed += 1
        return removed

    def _has_place(self, row: Row) -> bool:
        """Return whether the storage of a file still exists."""
        try:
            folder_of(self._storages, row["place"], row["tenant_id"])
        except StorageError:
            return False
        return True

    def node(self, row: Row) -> StorageNode:
        """Return the stored file of a row."""
        folder = folder_of(self._storages, row["place"], row["tenant_id"])
        return folder.child(row["path"])

    async def signer(self) -> UrlSigner:
        """Return the signer of tokens in links."""
        if self._signer is None:
            try:
                secret = await self._db.write(self._secrets.obtain)
            except ConstraintViolated:  # another process has made it at the same time
                secret = await self._db.write(self._secrets.obtain)
            self._signer = UrlSigner(secret.encode())
        return self._signer

    async def _upload(
        self,
        same: Row,
        config: LargeFileConfig,
        content: Readable,
        filename: str,
        expires_at: float,
    ) -> Row:
        id_ = uuid7()
        row = {
            **same,
            "id": id_,
            "path": f"{id_}/{_stored_name(filename)}",
            "filename": filename,
            "expires_at": expires_at,
        }
        now = self._clock.now()
        await self._db.write(self._table.begin, row, config.lifespan_seconds, now)
        written = await self.node(row).write_pieces(content.pieces(_PIECE_BYTES))
        if written != content.size:
            raise StorageError("the attachment has changed its size", is_temporary=True)
        await self._db.write(self._table.finish, row, expires_at)
        return row

    async def _url(
        self, row: Row, config: LargeFileConfig, filename: str, expires_at: float
    ) -> str:
        now = self._clock.now()
        signed = await self.node(row).presigned_url(expires_at, now=now, filename=filename)
        if signed is not None:
            return signed
        token = (await self.signer()).token(UUID(row["id"]).bytes, expires_at)
        base = (config.public_base_url or self._base_url).rstrip("/")
        return f"{base}/{token}/{quote(filename, safe='')}"


def _sha256(content: Readable) -> str:
    digest: Any = hashlib.sha256()
    for piece in content.pieces(_PIECE_BYTES):
        digest.update(piece)
    return str(digest.hexdigest())


def _stored_name(filename: str) -> str:
    """Return a file name without characters that mean something in a path."""
    kept = "".join(c if c.isalnum() or c in "-_. " else "_" for c in filename)
    octets = kept.strip(". ").encode()[-_LONGEST_NAME:]
    return octets.decode(errors="ignore").strip(". ") or "file"
