"""Rules for storages that a tenant's key saves: own credentials, own folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mail_proxy.wire.mistakes import Mistake, malformed, mistake
from mail_proxy.wire.secrets import MASK, kept_secrets, masked_config
from mail_proxy.wire.storages import has_mask

#: Protocols whose options lead to the places that are checked, and to no others.
_OF_TENANTS = ("local", "s3", "gcs", "azure", "memory")
_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105
_GOOGLE = "googleapis.com"


def merged_config(given: Mapping[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a new configuration with the stored secrets in the place of masked ones.

    Raises Malformed if anything but a secret changes and a secret is not given again: a stored
    secret is sent only where it was given for.
    """
    kept = kept_secrets(given, stored)
    if stored is None or not has_mask(given):
        return kept
    if _without_secrets(kept) != _without_secrets(stored):
        masked = [name for name, value in given.items() if has_mask(value)]
        message = "give it again: something else changes, and a stored secret is used only where "
        raise malformed(
            *(mistake(f"config.{name}", message + "it was given for") for name in masked)
        )
    return kept


def _without_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in masked_config(config).items() if value != MASK}


def refuse_of_tenants(protocol: str, config: Mapping[str, Any], roots: Sequence[Path]) -> None:
    """Raise Malformed if a tenant's key must not save this storage."""
    wrong = list(_mistakes(protocol, config, roots))
    if wrong:
        raise malformed(*wrong)


def _mistakes(protocol: str, config: Mapping[str, Any], roots: Sequence[Path]) -> Iterator[Mistake]:
    if protocol not in _OF_TENANTS:
        yield mistake("protocol", f"with a tenant's key, allowed: {', '.join(_OF_TENANTS)}")
    elif protocol == "local":
        real = Path(os.path.realpath(config["base_path"]))
        if not any(real.is_relative_to(os.path.realpath(root)) for root in roots):
            yield mistake("config.base_path", "must be below one of the attachment_roots")
    else:
        # Without, those of the service would be used, which reach data of other tenants.
        for name in {"s3": ("key", "secret"), "azure": ("connection_string",)}.get(protocol, ()):
            if not config.get(name):
                yield mistake(f"config.{name}", "required with a tenant's key")
        if protocol == "gcs":
            yield from _google_mistakes(config.get("credentials") or {})


def _google_mistakes(credentials: Mapping[str, Any]) -> Iterator[Mistake]:
    """Refuse credentials that make the library call other hosts or run programs."""
    is_usual = (
        credentials.get("type") == "service_account"
        and credentials.get("token_uri") == _TOKEN_URL
        and credentials.get("universe_domain", _GOOGLE) == _GOOGLE
    )
    if not is_usual:
        yield mistake(
            "config.credentials",
            f"with a tenant's key: the JSON of a service account with the token_uri {_TOKEN_URL}",
        )
