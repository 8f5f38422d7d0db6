"""Cache of attachments: memory in front of disk."""

from __future__ import annotations

import asyncio

from mail_proxy.attachments.content import Content
from mail_proxy.attachments.disk_cache import DiskCache, Lookup
from mail_proxy.attachments.memory_cache import Key, MemoryCache
from mail_proxy.attachments.spool import Spool
from mail_proxy.config import CacheConfig
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.private_files import UnsafeFile, reason_of
from mail_proxy.kit.side_thread import SideThread
from mail_proxy.telemetry.log import ServiceAction, log
from mail_proxy.telemetry.metrics import MailMetrics
from mail_proxy.telemetry.series import CacheTier
from mail_proxy.telemetry.troubles import Troubles

#: Contents above this go to the disk too.
_LEAST_ON_DISK = 100_000
#: Contents above this are not kept in memory: a few would take the place of all others.
_MOST_IN_MEMORY = 2_000_000
_MB = 1_000_000


class TieredCache:
    """Contents of attachments by tenant and MD5.

    Contents of up to 2 MB are kept in memory. Those of more than 100 kB are kept on disk, where
    they survive restarts. A disk that fails is logged and counts as an empty cache. ``disk`` is
    None if there is no folder for it.
    """

    def __init__(self, memory: MemoryCache, disk: DiskCache | None, metrics: MailMetrics) -> None:
        self._memory = memory
        self._disk = disk
        self._metrics = metrics
        self._thread = SideThread("cache")
        self._troubles = Troubles()

    @classmethod
    def of(
        cls, config: CacheConfig, spool: Spool, clock: Clock, metrics: MailMetrics
    ) -> TieredCache:
        """Return the cache that the settings describe."""
        memory = MemoryCache(int(config.cache_memory_max_mb * _MB), config.cache_memory_ttl, clock)
        folder, disk_bytes = config.cache_disk_dir, int(config.cache_disk_max_mb * _MB)
        if folder is None or not disk_bytes:
            return cls(memory, None, metrics)
        contents = folder / "contents"
        disk = DiskCache(contents, spool, disk_bytes, config.cache_disk_ttl, clock)
        return cls(memory, disk, metrics)

    async def get(self, tenant_id: str, md5: str) -> Content | None:
        """Return a content, or None if it is not in the cache.

        A content of more than 2 MB is a file in the spool, which the caller removes after use,
        as it removes files that it has fetched itself.
        """
        key = Key(tenant_id, md5)
        data = self._memory.get(key)
        if data is not None:
            self._count("memory", "hit", len(data))
            return Content(len(data), md5, data=data)
        self._count("memory", "miss")
        if self._disk is None:
            return None
        outcome, content = await self._from_disk(self._disk, key)
        self._count("disk", outcome, content.size if content is not None else 0)
        if content is not None and content.data is not None:
            self._memory.put(key, content.data)
        return content

    async def put(self, tenant_id: str, content: Content) -> None:
        """Keep a content, which stays the caller's. Its file must not be changed any more."""
        key = Key(tenant_id, content.md5)
        try:
            if content.size <= _MOST_IN_MEMORY:
                data = content.data
                if data is None:
                    data = await self._thread.run(_octets, content)
                self._memory.put(key, data)
            if self._disk is None or content.size <= _LEAST_ON_DISK:
                return
            await self._thread.run(self._disk.put, key, content)
        except (OSError, UnsafeFile) as error:
            self._log(error)
        else:
            self._troubles.end("disk")

    async def _from_disk(self, disk: DiskCache, key: Key) -> Lookup:
        looking = asyncio.ensure_future(self._thread.run(_look_up, disk, key))
        try:
            return await asyncio.shield(looking)
        except asyncio.CancelledError:
            looking.add_done_callback(_discard)
            raise
        except (OSError, UnsafeFile) as error:
            self._log(error)
            return Lookup("miss")

    def _log(self, error: OSError | UnsafeFile) -> None:
        if self._troubles.is_due("disk"):
            log(ServiceAction.CACHE_FAILED, reason=reason_of(error))

    def _count(self, tier: CacheTier, outcome: str, octets: int = 0) -> None:
        self._metrics.cache.of(tier, outcome).inc()
        if octets:
            self._metrics.cache_bytes.of(tier).inc(octets)


def _octets(content: Content) -> bytes:
    return b"".join(content.pieces(_MOST_IN_MEMORY))


def _look_up(disk: DiskCache, key: Key) -> Lookup:
    return disk.get(key, most_in_memory=_MOST_IN_MEMORY)


def _discard(looked: asyncio.Future[Lookup]) -> None:
    """Remove the file that a cancelled look-up has made."""
    if looked.cancelled() or looked.exception() is not None:
        return
    content = looked.result().content
    if content is not None and content.path is not None:
        content.path.unlink(missing_ok=True)
