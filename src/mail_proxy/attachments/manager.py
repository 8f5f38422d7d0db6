"""Contents of attachments, from the cache or from the fetcher of their mode."""

from __future__ import annotations

import asyncio
import hashlib
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from mail_proxy.attachments.cache import TieredCache
from mail_proxy.attachments.content import Content
from mail_proxy.attachments.fetching import (
    Draft,
    Fetcher,
    FetchFailed,
    FetchRequest,
    too_large,
)
from mail_proxy.attachments.memory_budget import MemoryBudget
from mail_proxy.attachments.spool import Spool
from mail_proxy.domain.attachment import FetchMode
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.side_thread import SideThread

#: Sources whose MD5 is remembered; each takes about 200 octets.
_MOST_SOURCES = 10_000
#: Modes whose contents are kept for other messages. Local files are as near as the cache.
_CACHED = frozenset({FetchMode.HTTP_URL, FetchMode.ENDPOINT, FetchMode.STORAGE})


class AttachmentManager:
    """Fetches attachments, a few at once for each tenant.

    Messages that need one source at the same time share its fetch.
    A content in a file is a file of the spool, which is removed when the content is not used any
    more. A source that was read in the last ``source_seconds`` is not read again while the cache
    has its content.
    """

    def __init__(
        self,
        fetchers: Mapping[FetchMode, Fetcher],
        cache: TieredCache,
        spool: Spool,
        budget: MemoryBudget,
        clock: Clock,
        *,
        most_octets: int,
        most_large_octets: int,
        most_at_once: int,
        timeout_seconds: float,
        source_seconds: float,
        beside: SideThread,
    ) -> None:
        """``most_octets`` of a content, ``most_at_once`` fetches of a tenant.

        ``most_large_octets`` of a content that becomes a link in the mail.
        """
        self._fetchers = fetchers
        self._cache = cache
        self._spool = spool
        self._budget = budget
        self._most_octets = most_octets
        self._most_large_octets = most_large_octets
        self._timeout = timeout_seconds
        self._turns = _Turns(most_at_once)
        self._sources = _Sources(clock, source_seconds)
        self._running: dict[bytes, asyncio.Task[Content]] = {}
        self._discarding: set[asyncio.Future[None]] = set()
        self._beside = beside

    async def content(self, request: FetchRequest) -> Content:
        """Return the content of an attachment whose mode is known; raises FetchFailed."""
        attachment = request.attachment
        if attachment.mode is FetchMode.BASE64:
            return self._checked(await self._fetch(request), request)
        source = _source_of(request)
        md5 = attachment.md5 or self._sources.md5_of(source)
        if md5 is not None:
            kept = await self._cache.get(request.tenant.id, md5)
            if kept is not None:
                return self._checked(await self._owned(kept), request)
        return self._checked(await self._once(source, request), request)

    async def _once(self, source: bytes, request: FetchRequest) -> Content:
        """Fetch a source, or wait for the fetch that another message has begun."""
        running = self._running.get(source)
        if running is None:
            running = asyncio.create_task(self._fetch_and_keep(source, request))
            self._running[source] = running
            running.add_done_callback(lambda _: self._running.pop(source, None))
            running.add_done_callback(_retrieve)
        # A message that is withdrawn does not end the fetch for the others.
        return await asyncio.shield(running)

    async def _fetch_and_keep(self, source: bytes, request: FetchRequest) -> Content:
        content = await self._fetch(request)
        if request.attachment.mode in _CACHED:
            await self._cache.put(request.tenant.id, content)
            self._sources.add(source, content.md5)
        return content

    async def _fetch(self, request: FetchRequest) -> Content:
        mode = request.attachment.mode
        assert mode is not None, "the mode is known by now"
        draft = Draft(self._spool, self._most(request))
        is_whole = False
        async with self._turns.of(request.tenant.id):
            try:
                async with asyncio.timeout(self._timeout):
                    await self._fetchers[mode].fetch(request, draft)
                content = await self._beside.run(draft.finish)
                is_whole = True
            except TimeoutError:
                reason = f"not fetched within {self._timeout:g} s"
                raise FetchFailed(reason, is_temporary=True) from None
            finally:
                if not is_whole:
                    # On the thread that may still write to it.
                    discarding = asyncio.ensure_future(self._beside.run(draft.discard))
                    self._discarding.add(discarding)
                    discarding.add_done_callback(self._discarding.discard)
        return await self._owned(content)

    async def _owned(self, content: Content) -> Content:
        """Return a content that is in the budget, or whose file is removed after its use."""
        if content.data is not None:
            if self._budget.take(content):
                return content
            content = await _unless_cancelled(self._beside.run(self._written, content))
        if content.path is not None:
            weakref.finalize(content, _remove, content.path)
        return content

    def _most(self, request: FetchRequest) -> int:
        """Return how many octets the content of a request may have."""
        if request.most_octets is not None:
            return request.most_octets
        rules = request.tenant.large_files
        becomes_link = rules is not None and rules.action == "rewrite"
        return self._most_large_octets if becomes_link else self._most_octets

    def _checked(self, content: Content, request: FetchRequest) -> Content:
        """Return a content; raises FetchFailed for a wrong size or MD5."""
        most, md5 = self._most(request), request.attachment.md5
        if content.size > most:
            raise too_large(content.size, most)
        if md5 is not None and content.md5 != md5:
            raise FetchFailed(f"has the MD5 {content.md5}, not {md5} as declared")
        return content

    def _written(self, content: Content) -> Content:
        draft = Draft(self._spool, content.size, most_in_memory=0)
        draft.write(content.data or b"")
        return draft.finish()


class _Turns:
    """Semaphores of tenants, as long as they are used."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def of(self, tenant_id: str) -> AsyncIterator[None]:
        semaphore, users = self._used.get(tenant_id, (asyncio.Semaphore(self._most), 0))
        self._used[tenant_id] = semaphore, users + 1
        try:
            async with semaphore:
                yield
        finally:
            _, users = self._used.pop(tenant_id)
            if users > 1:
                self._used[tenant_id] = semaphore, users - 1


class _Sources:
    """MD5 of the content that each source had when it was read last."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._known: OrderedDict[bytes, tuple[float, str]] = OrderedDict()

    def md5_of(self, source: bytes) -> str | None:
        """Return the MD5 of a source that was read recently, or None."""
        read_at, md5 = self._known.get(source, (None, None))
        if read_at is None or self._clock.monotonic() - read_at > self._seconds:
            return None
        return md5

    def add(self, source: bytes, md5: str) -> None:
        """Note that a source was read now."""
        self._known.pop(source, None)
        self._known[source] = self._clock.monotonic(), md5
        if len(self._known) > _MOST_SOURCES:
            self._known.popitem(last=False)


def _source_of(request: FetchRequest) -> bytes:
    """Return the hash of all that decides which content a fetch gets."""
    attachment, tenant, auth = request.attachment, request.tenant, request.auth
    parts = [tenant.id, attachment.mode, attachment.reference, request.most_octets]
    if attachment.mode is FetchMode.ENDPOINT:
        auth = auth or tenant.client_auth
        parts.append(tenant.attachment_url)
    if auth is not None:
        parts += [auth.method, auth.token, auth.user, auth.password]
    return hashlib.sha256(repr(parts).encode(errors="surrogatepass")).digest()


async def _unless_cancelled(writing: Coroutine[Any, Any, Content]) -> Content:
    """Return a content that a thread writes; if cancelled, remove its file."""
    task = asyncio.ensure_future(writing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_remove_written)
        raise


def _remove_written(task: asyncio.Task[Content]) -> None:
    if not task.cancelled() and task.exception() is None:
        path = task.result().path
        if path is not None:
            _remove(path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _retrieve(task: asyncio.Task[Content]) -> None:
    """Take note of an error that no message may wait for any more."""
    if not task.cancelled():
        task.exception()
