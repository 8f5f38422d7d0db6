"""Places of large files: URLs such as ``s3://bucket``, or a storage of the tenant."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from mail_proxy.storage import StorageManager, StorageNode
from mail_proxy.storage.mount import Mount

#: Protocol of a scheme, and the name of its bucket in a mount's configuration.
_CLOUDS = {"s3": ("s3", "bucket"), "gs": ("gcs", "bucket"), "az": ("azure", "container")}


def folder_of(storages: StorageManager, storage_url: str, tenant_id: str) -> StorageNode:
    """Return the folder that a ``storage_url`` names; raises StorageError.

    Credentials of a bucket come from the environment. The administrator alone sets these URLs.
    """
    parts = urlsplit(storage_url)
    if "://" not in storage_url:
        return storages.node(storage_url, tenant_id=tenant_id)
    if parts.scheme == "file":
        config = {"base_path": unquote(parts.path)}
        return storages.node_of(Mount(tenant_id, storage_url, "local", config), "")
    protocol, field = _CLOUDS[parts.scheme]
    mount = Mount(tenant_id, storage_url, protocol, {field: parts.netloc})
    return storages.node_of(mount, parts.path)
