"""Tenants on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, Field, field_validator, model_validator

from mail_proxy.domain.tenant import signing_key
from mail_proxy.domain.web_url import check_web_url
from mail_proxy.wire.fields import Answer, Count, Name, Request, Seconds, Timestamp
from mail_proxy.wire.secrets import MASK

TenantId = Annotated[
    str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
]
Path = Annotated[str, Field(max_length=1000, pattern=r"^/[^\s\x00-\x1f]*$")]
_LARGEST_CONFIG = 16_384
#: What a tenant key cannot change of its own tenant.
ADMIN_FIELDS = frozenset({"active", "rate_limits", "retention_seconds", "large_file_config"})


class ClientAuthIn(Request):
    """How the proxy authenticates to the tenant's application."""

    method: Literal["none", "bearer", "basic"] = Field(description="none, bearer or basic.")
    token: Name | None = Field(None, description="For bearer.")
    user: Name | None = Field(None, description="For basic.")
    password: Name | None = Field(None, description="For basic.")

    @model_validator(mode="after")
    def _complete(self) -> ClientAuthIn:
        if self.method == "bearer" and not self.token:
            raise ValueError("method bearer needs token")
        if self.method == "basic" and (not self.user or self.password is None):
            raise ValueError("method basic needs user and password")
        return self


class RateLimits(Request):
    """Messages of the whole tenant; 0 or null: no limit."""

    hourly: Count | None = Field(None, description="Messages an hour.")
    daily: Count | None = Field(None, description="Messages a day.")


class TenantFields(Request):
    """What can be set of a tenant."""

    name: Name | None = Field(None, description="Name to show.")
    client_base_url: Annotated[str, Field(max_length=2000)] | None = Field(
        None, description="http:// or https:// URL of the tenant's application."
    )
    client_sync_path: Path | None = Field(None, description="Default /mail-proxy/sync.")
    client_attachment_path: Path | None = Field(
        None, description="Default /mail-proxy/attachments."
    )
    client_auth: ClientAuthIn | None = Field(
        None, description="Secrets come back as ********; written back, they stay."
    )
    active: bool | None = Field(
        None, description="An inactive tenant sends nothing, and its key gets 403."
    )
    rate_limits: RateLimits | None = Field(
        None, description="Of all the tenant's accounts together."
    )
    large_file_config: dict[str, Any] | None = Field(
        None, description="What becomes of large attachments; secrets come back as ********."
    )
    retention_seconds: Seconds | None = Field(
        None, description="Finished messages go this long after their last report."
    )
    signing_secret: Annotated[str, Field(max_length=100)] | None = Field(
        None,
        description="`whsec_` and the base64 of 24 to 64 random bytes: reports are signed. The "
        "one before signs along for 24 hours. null: reports are not signed any more. Comes back "
        "as ********; written back, it stays.",
    )

    @field_validator("client_base_url")
    @classmethod
    def _web_url(cls, value: str | None) -> str | None:
        if value is not None:
            check_web_url(value)
            if "?" in value or "#" in value:
                raise ValueError("must not hold ? or #: the path comes after it")
        return value

    @field_validator("signing_secret")
    @classmethod
    def _signing_key(cls, value: str | None) -> str | None:
        if value not in (None, MASK):
            signing_key(value)
        return value

    @field_validator("large_file_config")
    @classmethod
    def _storable(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        try:
            size = len(orjson.dumps(value))
        except TypeError as error:
            raise ValueError(f"cannot be stored: {error}") from None
        if size > _LARGEST_CONFIG:
            raise ValueError(f"{size} bytes; allowed: {_LARGEST_CONFIG}")
        return value


class TenantIn(TenantFields):
    """Body of ``POST /tenant``."""

    id: TenantId = Field(description="Letters, digits, dot, dash and underscore.")


class TenantOut(BaseModel):
    """A tenant; secrets are masked. Times are Unix seconds."""

    id: str = Field(description="The tenant.")
    name: str | None = Field(description="Name to show.")
    client_base_url: str | None = Field(description="URL of its application.")
    client_sync_path: str = Field(description="Path that takes reports.")
    client_attachment_path: str = Field(description="Path that gives attachments.")
    client_auth: dict[str, Any] = Field(
        description="How the proxy authenticates there; secrets are ********."
    )
    active: bool = Field(description="Whether it sends, and its key works.")
    rate_limits: dict[str, Any] | None = Field(description="Of all the tenant's accounts together.")
    large_file_config: dict[str, Any] | None = Field(
        description="What becomes of large attachments; secrets are ********."
    )
    retention_seconds: float | None = Field(description="Null: the instance's retention.")
    suspended_batches: list[str] = Field(description="`*` is everything.")
    signing_secret: str | None = Field(description="******** where one is stored.")
    has_api_key: bool = Field(description="Whether it has a key.")
    api_key_expires_at: int | None = Field(description="When that ends; null: never.")
    created_at: int = Field(description="When it was made.")
    updated_at: int = Field(description="When it was last changed.")


class TenantAnswer(Answer):
    """One tenant."""

    tenant: TenantOut = Field(description="The tenant.")


class TenantSaved(TenantAnswer):
    """``api_key`` is there once, when the tenant is new."""

    api_key: str | None = Field(None, description="A new tenant's key; shown this once.")


class TenantsOut(Answer):
    """All tenants."""

    tenants: list[TenantOut] = Field(description="In the order of their ids.")


class ApiKeyIn(Request):
    """Body of `POST /tenant/{id}/api-key`."""

    expires_at: Timestamp | None = Field(None, description="Unix seconds; null: never.")


class ApiKeyOut(Answer):
    """The key is shown once."""

    api_key: str = Field(description="43 characters, URL-safe.")


class Done(Answer):
    """It is done."""


class SyncState(BaseModel):
    """Where the conversation with a tenant's application stands."""

    id: str = Field(description="The tenant.")
    name: str | None = Field(description="Its name.")
    active: bool = Field(description="Whether the tenant is switched on.")
    client_base_url: str | None = Field(description="URL of its application.")
    last_sync_ts: int | None = Field(description="Last call that was answered; null: none.")
    next_sync_due: bool = Field(description="Whether a call is due now.")
    in_dnd: bool = Field(description="Whether it asked not to be disturbed.")
    next_sync_after: int | None = Field(description="No empty call before this time.")
    last_sync_error: str | None = Field(description="Why the last call failed.")


class SyncStatusOut(Answer):
    """All tenants, in the order of their ids."""

    sync_interval_seconds: float = Field(description="Longest time between two calls.")
    tenants: list[SyncState] = Field(description="One entry for each tenant.")
