"""The large files that a process of the service keeps."""

from __future__ import annotations

from mail_proxy.config import ProxyConfig
from mail_proxy.features.large_files.storage import LargeFileStorage
from mail_proxy.features.storages.known import known_storages
from mail_proxy.kit.clock import Clock
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables


def kept_files(
    db: SqlDb, tables: Tables, directory: Directory, config: ProxyConfig, clock: Clock
) -> LargeFileStorage:
    """Return the storage of large files that the settings and the directory describe."""
    base = config.public_url or f"http://{config.host}:{config.port}"
    storages = known_storages(directory, config)
    return LargeFileStorage(db, tables, storages, clock, f"{base.rstrip('/')}/files")
