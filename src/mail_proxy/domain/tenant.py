"""An organisation that uses the instance, as the running service sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mail_proxy.domain.limits import RateLimit

DEFAULT_TENANT = "default"
#: Stands for all batches, and messages without one, where something is suspended.
EVERYTHING = "*"
DEFAULT_SYNC_PATH = "/mail-proxy/sync"
DEFAULT_ATTACHMENT_PATH = "/mail-proxy/attachments"


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """How the proxy shows who it is when it calls a tenant's application."""

    method: str = "none"
    token: str | None = None
    user: str | None = None
    password: str | None = None

    @classmethod
    def from_record(cls, record: dict[str, Any] | None) -> ClientAuth:
        """From its stored form; None means no authentication."""
        return cls(**record) if record else cls()

    def __repr__(self) -> str:
        return f"ClientAuth({self.method})"


@dataclass(frozen=True, slots=True)
class Tenant:
    """What delivery, reporting and authentication need to know of a tenant.

    ``sync_url`` is None where the tenant has no URL of its own. ``signing_secrets`` holds the
    current one first, then the previous one for a day. Instants are Unix seconds.
    ``damage`` says why the stored secrets cannot be read; the application is not called then.
    """

    id: str
    active: bool
    sync_url: str | None
    client_auth: ClientAuth
    api_key_hash: str | None
    api_key_expires_at: float | None
    suspended_batches: frozenset[str]
    limits: tuple[RateLimit, ...] = ()
    damage: str | None = None

    def sends(self, batch_code: str | None = None) -> bool:
        """Whether messages of a batch, or those without one, are sent now."""
        suspended = self.suspended_batches
        return self.active and EVERYTHING not in suspended and batch_code not in suspended
