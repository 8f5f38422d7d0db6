"""Files in named mounts: folders on disk, S3, Google Cloud Storage, Azure."""

from mail_proxy.errors import StorageError
from mail_proxy.storage.manager import StorageManager
from mail_proxy.storage.node import StorageNode

__all__ = ["StorageError", "StorageManager", "StorageNode"]
