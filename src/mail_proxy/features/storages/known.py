"""The storages that a process of the service knows."""

from __future__ import annotations

from mail_proxy.config import ProxyConfig
from mail_proxy.features.storages.table import NAME
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.sql.directory import Directory
from mail_proxy.storage import StorageManager
from mail_proxy.storage.mount import Mounts


def known_storages(directory: Directory, config: ProxyConfig) -> StorageManager:
    """Return the manager of the storages in the directory, as they are at each call."""

    def mounts() -> Mounts:
        found: Mounts = directory.snapshot.features.get(NAME, {})
        return found

    roots = config.attachments.attachment_roots
    return StorageManager(mounts, guard=NetworkGuard.of(config), roots=roots)
