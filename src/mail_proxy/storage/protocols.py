"""Protocols of mounts over fsspec, and the optional packages that they need."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from mail_proxy.errors import StorageError
from mail_proxy.network.guard import NetworkGuard, RefusedAddressError
from mail_proxy.storage.mount import Mount

_CONNECT_SECONDS = 10
_READ_SECONDS = 30
_ATTEMPTS = 3


@dataclass(frozen=True)
class Provider:
    """A provider of object storage.

    It has a name in fsspec, and an extra that installs its library. ``errors`` are the classes that
    its libraries raise, as ``module:name``.
    """

    fsspec_name: str
    extra: str
    module: str
    errors: tuple[str, ...]


_AIOHTTP = ("aiohttp:ClientError", "fsspec.exceptions:FSTimeoutError")
PROVIDERS: dict[str, Provider] = {
    "s3": Provider(
        "s3",
        "s3",
        "s3fs",
        ("botocore.exceptions:BotoCoreError", "botocore.exceptions:ClientError", *_AIOHTTP),
    ),
    "gcs": Provider(
        "gcs",
        "gcs",
        "gcsfs",
        (
            "gcsfs.retry:HttpError",
            "google.auth.exceptions:GoogleAuthError",
            "requests.exceptions:RequestException",
            *_AIOHTTP,
        ),
    ),
    "azure": Provider("abfs", "azure", "adlfs", ("azure.core.exceptions:AzureError", *_AIOHTTP)),
}


def installed_errors(protocol: str) -> tuple[type[BaseException], ...]:
    """Return the errors of the libraries of a protocol, and of the system.

    Raises StorageError, with the command to enter, if the extra is not installed.
    """
    provider = PROVIDERS.get(protocol)
    if provider is None:
        return (OSError, ValueError, NotImplementedError)
    try:
        import_module(provider.module)
    except ImportError:
        raise StorageError(
            f"the protocol {protocol} needs an extra: "
            f"pip install 'genro-mail-proxy[{provider.extra}]'"
        ) from None
    named = (name.split(":") for name in provider.errors)
    found = (getattr(import_module(module), name) for module, name in named)
    return (OSError, ValueError, NotImplementedError, *found)


def check_protocol(protocol: str) -> None:
    """Raise StorageError if a protocol is unknown or its package is not installed."""
    installed_errors(protocol)
    if protocol in PROVIDERS or protocol in ("local", "memory"):
        return
    try:
        _fsspec().get_filesystem_class(protocol)
    except ValueError:
        raise StorageError("fsspec does not know this protocol") from None
    except ImportError as error:
        raise StorageError(str(error)) from None


def open_filesystem(mount: Mount, guard: NetworkGuard) -> tuple[Any, str]:
    """Return the fsspec filesystem of a mount, and the path of the mount's root in it.

    Listings and connections are its own, so that credentials that are replaced are forgotten.
    """
    config = mount.config
    root = "/".join(
        part.strip("/")
        for part in (config.get("bucket") or config.get("container") or "", config.get("prefix"))
        if part and part.strip("/")
    )
    if mount.protocol == "memory":
        return _filesystem("memory"), f"/{mount.tenant_id}/{mount.name}"
    if mount.protocol == "s3":
        return _s3(config, None if mount.trusted else guard), root
    if mount.protocol == "gcs":
        # Google's own libraries ask an emulator without credentials too.
        anonymous = "anon" if os.environ.get("STORAGE_EMULATOR_HOST") else None
        return _filesystem("gcs", token=config.get("credentials") or anonymous), root
    if mount.protocol == "azure":
        options = _given(connection_string=config.get("connection_string"))
        timeouts = {"connection_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS}
        return _filesystem("abfs", **options, **timeouts), root
    filesystem, path = _fsspec().url_to_fs(config["url"], **(config.get("options") or {}))
    return filesystem, str(path)


def _s3(config: Mapping[str, Any], guard: NetworkGuard | None) -> Any:
    client: dict[str, Any] = {
        "connect_timeout": _CONNECT_SECONDS,
        "read_timeout": _READ_SECONDS,
        "retries": {"max_attempts": _ATTEMPTS},
        "signature_version": "s3v4",
    }
    if config.get("endpoint_url"):
        # Servers that are not Amazon's have no names for buckets in the DNS.
        client["s3"] = {"addressing_style": "path"}
    if guard is not None:
        client["connector_args"] = {"socket_factory": _checked_sockets(guard)}
    options = _given(
        key=config.get("key"), secret=config.get("secret"), endpoint_url=config.get("endpoint_url")
    )
    region = _given(region_name=config.get("region"))
    return _filesystem(
        "s3", config_kwargs=client, client_kwargs=region, max_concurrency=1, **options
    )


def _checked_sockets(guard: NetworkGuard) -> Any:
    """Return a socket factory that refuses addresses which are not permitted."""

    def new_socket(address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, place = address
        if not guard.permits(str(place[0])):
            raise RefusedAddressError(str(place[0]))
        return socket.socket(family, kind, protocol)

    return new_socket


def _filesystem(name: str, **options: Any) -> Any:
    if name != "memory":
        options = {**options, "use_listings_cache": False, "skip_instance_cache": True}
    return _fsspec().filesystem(name, **options)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value}


def _fsspec() -> Any:
    """Return fsspec, imported when the first mount that is no folder needs it."""
    return import_module("fsspec")
