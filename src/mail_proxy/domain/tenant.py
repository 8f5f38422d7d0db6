"""Tenants: organisations that use the instance, with credentials and suspensions."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mail_proxy.domain.large_files import LargeFileConfig
from mail_proxy.domain.limits import RateLimit

DEFAULT_TENANT = "default"
#: Batch code that suspends all batches of a tenant, and messages without one.
EVERYTHING = "*"
DEFAULT_SYNC_PATH = "/mail-proxy/sync"
DEFAULT_ATTACHMENT_PATH = "/mail-proxy/attachments"
#: Quotas that the administrator may set for one tenant, in place of the settings of these names.
QUOTAS = ("max_queued_messages", "max_queued_mb", "max_accounts", "max_calls_per_second")
_PREFIX = "whsec_"
#: How long the previous secret signs too, so that applications can change to the new one.
SIGNS_ALONG_SECONDS = 86_400.0


def signing_key(secret: str) -> bytes:
    """Return the bytes of a Standard Webhooks secret; ValueError for any other text."""
    text = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if text == secret or not 24 <= len(key) <= 64:
        raise ValueError(f"must be {_PREFIX} and the base64 of 24 to 64 random bytes")
    return key


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """Credentials with which the proxy calls a tenant's application."""

    method: str = "none"
    token: str | None = None
    user: str | None = None
    password: str | None = None

    @classmethod
    def from_record(cls, record: dict[str, Any] | None) -> ClientAuth:
        """Build from the stored form; None means no authentication."""
        return cls(**record) if record else cls()

    @property
    def authorization(self) -> bytes | None:
        """The value of the HTTP header Authorization, None without authentication."""
        if self.method == "bearer" and self.token:
            return b"Bearer " + self.token.encode()
        if self.method == "basic":
            pair = f"{self.user or ''}:{self.password or ''}".encode()
            return b"Basic " + base64.b64encode(pair)
        return None

    def __repr__(self) -> str:
        return f"ClientAuth({self.method})"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant, as delivery, reporting and authentication see it.

    ``sync_url`` and ``attachment_url`` are None if the tenant has no URL of its own. Instants are
    Unix seconds.
    ``private_allowed``: the administrator saved the URL, which may lead to any address.
    ``quotas`` are those of the tenant itself, by the name of the setting that they replace.
    ``damage`` and ``signing_damage`` say why ``client_auth`` and the signing secret cannot be
    read; the application is not called then.
    """

    id: str
    active: bool
    sync_url: str | None
    client_auth: ClientAuth
    api_key_hash: str | None
    api_key_expires_at: float | None
    suspended_batches: frozenset[str]
    limits: tuple[RateLimit, ...] = ()
    quotas: Mapping[str, float] = field(default_factory=dict)
    signing_secret: str | None = field(default=None, repr=False)
    previous_signing_secret: str | None = field(default=None, repr=False)
    signing_secret_changed_at: float | None = None
    private_allowed: bool = False
    large_files: LargeFileConfig | None = None
    damage: str | None = None
    signing_damage: str | None = None
    attachment_url: str | None = None

    def has_expired_key(self, now: float) -> bool:
        """Return whether the tenant's key is not accepted any more."""
        return self.api_key_expires_at is not None and self.api_key_expires_at <= now

    def signing_secrets(self, now: float) -> list[str]:
        """Return the current secret, and for a day also the previous one."""
        if self.signing_secret is None:
            return []
        changed, previous = self.signing_secret_changed_at, self.previous_signing_secret
        overlaps = changed is not None and now < changed + SIGNS_ALONG_SECONDS
        if previous is None or previous == self.signing_secret or not overlaps:
            return [self.signing_secret]
        return [self.signing_secret, previous]

    def sends(self, batch_code: str | None = None) -> bool:
        """Return whether messages of a batch, or with None those without one, are sent."""
        suspended = self.suspended_batches
        return self.active and EVERYTHING not in suspended and batch_code not in suspended
