"""The mounts of all tenants, and the threads that work on their files."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from mail_proxy.domain.tenant import DEFAULT_TENANT
from mail_proxy.errors import StorageError
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.storage.backend import Backend
from mail_proxy.storage.endpoints import hosts_of
from mail_proxy.storage.local_folder import LocalFolder
from mail_proxy.storage.mount import Mount, Mounts, clean_path, split_reference
from mail_proxy.storage.node import StorageNode
from mail_proxy.storage.protocols import open_filesystem
from mail_proxy.storage.remote_folder import RemoteFolder
from mail_proxy.storage.url_token import UrlSigner

#: Threads of all tenants, which start when they are needed, and of one tenant.
_THREADS, _OF_TENANT = 64, 4
_CALL_SECONDS = 90.0
Result = TypeVar("Result")


@dataclass(frozen=True)
class Links:
    """Signer and base URL of links, for storages whose provider signs no URLs."""

    signer: UrlSigner
    base_url: str


def _no_mounts() -> Mounts:
    return {}


class StorageManager:
    """Mounts by tenant and name; ``node`` returns a file in one of them.

    ``mounts`` returns the mounts that the service knows now. ``register`` and ``configure`` add
    others, for programs that use this class alone. ``roots`` are the folders below which a mount
    of the protocol ``local`` has to be, unless the administrator saved it.
    """

    def __init__(
        self,
        mounts: Callable[[], Mounts] = _no_mounts,
        *,
        guard: NetworkGuard | None = None,
        roots: Sequence[Path] = (),
        links: Links | None = None,
    ) -> None:
        self.links = links
        self._mounts = mounts
        self._guard = guard or NetworkGuard()
        self._roots = roots
        self._own: dict[tuple[str, str], Mount] = {}
        self._open: dict[tuple[str, str], tuple[Mount, Backend]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "storage")
        #: By tenant, as long as they are used.
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def register(
        self,
        name: str,
        protocol: str,
        config: Mapping[str, Any] | None = None,
        *,
        tenant_id: str = DEFAULT_TENANT,
    ) -> None:
        """Add a mount, or replace the one of this name."""
        self._own[tenant_id, name] = Mount(tenant_id, name, protocol, config or {})

    def configure(self, mounts: Iterable[Mapping[str, Any]]) -> None:
        """Replace all registered mounts by others: ``name``, ``protocol``, ``config``."""
        self._own.clear()
        for mount in mounts:
            self.register(**mount)

    def find_mount(self, name: str, tenant_id: str = DEFAULT_TENANT) -> Mount | None:
        """Return a mount of a tenant, or None."""
        return self._own.get((tenant_id, name)) or self._mounts().get((tenant_id, name))

    def node(self, reference: str, *, tenant_id: str = DEFAULT_TENANT) -> StorageNode:
        """Return the file or folder ``<mount>:<path>``, which need not exist.

        Raises StorageError for an unknown mount, and for a path with ``..``.
        """
        named = split_reference(reference)
        mount = self.find_mount(named[0], tenant_id) if named else None
        if named is None or mount is None:
            raise StorageError("no such storage")
        return self.node_of(mount, named[1])

    def node_of(self, mount: Mount, path: str) -> StorageNode:
        """Return a file or folder of a mount that need not be registered."""
        return StorageNode(self, mount, clean_path(path))

    async def run(self, mount: Mount, work: Callable[[Backend], Result]) -> Result:
        """Return the result of ``work`` with the mount's backend, on a thread.

        Raises StorageError; after 90 seconds it is a temporary one.
        """
        await self._admit(mount)
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                return await self._on_thread(mount, work)
        except TimeoutError:
            words = f"the storage does not answer within {_CALL_SECONDS:.0f} seconds"
            raise StorageError(words, is_temporary=True) from None

    async def run_long(self, mount: Mount, work: Callable[[Backend], Result]) -> Result:
        """Return the result of ``work`` as ``run`` does, however long it takes."""
        await self._admit(mount)
        return await self._on_thread(mount, work)

    def release(self, close: Callable[[], None]) -> None:
        """Close a file on a thread. Nothing waits for it: its storage may not answer."""
        try:
            closing = self._threads.submit(close)
        except RuntimeError:  # the threads have ended
            close()
        else:
            closing.add_done_callback(lambda done: close() if done.cancelled() else None)

    async def _on_thread(self, mount: Mount, work: Callable[[Backend], Result]) -> Result:
        """Return the result of ``work``, which runs on one of the tenant's threads.

        A tenant whose storage does not answer takes no threads from others. A thread that hangs
        counts until it is back, also if nobody waits for it any more.
        """
        loop = asyncio.get_running_loop()
        run_here = contextvars.copy_context().run
        turns = self._turns.setdefault(mount.tenant_id, asyncio.Semaphore(_OF_TENANT))
        await turns.acquire()
        running = self._threads.submit(run_here, lambda: work(self._backend(mount)))

        def give_back(_: Future[Result]) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(turns.release)

        running.add_done_callback(give_back)
        return await asyncio.wrap_future(running)

    def close(self) -> None:
        """Let the threads end when their work is done."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _admit(self, mount: Mount) -> None:
        """Raise StorageError if a mount is damaged, or leads where it must not."""
        if mount.damage is not None:
            raise StorageError(mount.damage, is_temporary=True)
        if mount.trusted:
            return
        for host, port in hosts_of(mount):
            try:
                await self._guard.find(host, port, private_allowed=False)
            except (OSError, UnicodeError) as error:
                raise StorageError(str(error), is_temporary=True) from None

    def _backend(self, mount: Mount) -> Backend:
        key = mount.tenant_id, mount.name
        known, backend = self._open.get(key, (None, None))
        if backend is None or known != mount:
            backend = self._opened(mount)
            self._open[key] = mount, backend
        return backend

    def _opened(self, mount: Mount) -> Backend:
        if mount.protocol == "local":
            within = None if mount.trusted else self._roots
            return LocalFolder(Path(mount.config["base_path"]), within)
        # Before the libraries are used, so that a missing one is an error in words.
        try:
            return RemoteFolder(mount, *open_filesystem(mount, self._guard))
        except (ImportError, ValueError, TypeError, OSError) as error:
            raise StorageError(f"the storage cannot be used: {error}") from error
