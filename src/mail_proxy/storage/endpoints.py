"""Hosts that a mount of a tenant leads to, for the network guard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from mail_proxy.storage.mount import Mount

_PORTS = {"http": 80, "https": 443}
_AZURE_SUFFIX = "core.windows.net"


def hosts_of(mount: Mount) -> list[tuple[str, int]]:
    """Return hosts and ports that the configuration of a mount names.

    Hosts that the provider's library knows itself are left out.
    """
    if mount.protocol == "s3":
        url = mount.config.get("endpoint_url")
        return [_place(url)] if url else []
    if mount.protocol == "azure":
        return _azure_hosts(connection_parts(mount.config.get("connection_string") or ""))
    return []


def connection_parts(text: str) -> dict[str, str]:
    """Return the parts of an Azure connection string, by their names in lower case."""
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _azure_hosts(parts: Mapping[str, Any]) -> list[tuple[str, int]]:
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        return [("127.0.0.1", 10_000)]
    named = [parts[name] for name in ("blobendpoint", "blobsecondaryendpoint") if parts.get(name)]
    if named:
        return [_place(url) for url in named]
    scheme = parts.get("defaultendpointsprotocol", "https")
    suffix = parts.get("endpointsuffix") or _AZURE_SUFFIX
    return [_place(f"{scheme}://{parts.get('accountname', '')}.blob.{suffix}")]


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _PORTS.get(parts.scheme.lower(), 443)
