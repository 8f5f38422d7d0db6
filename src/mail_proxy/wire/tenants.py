"""Tenants on the wire."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, Field, field_validator, model_validator

from mail_proxy.wire.fields import Count, Name, Request, Timestamp

TenantId = Annotated[
    str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
]
Path = Annotated[str, Field(max_length=1000, pattern=r"^/[^\s\x00-\x1f]*$")]
_WEB_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f]+")
#: What a tenant key cannot change of its own tenant.
ADMIN_FIELDS = frozenset({"active", "rate_limits", "retention_seconds", "large_file_config"})


class ClientAuthIn(Request):
    """How the proxy authenticates to the tenant's application."""

    method: Literal["none", "bearer", "basic"]
    token: Name | None = None
    user: Name | None = None
    password: Name | None = None

    @model_validator(mode="after")
    def _complete(self) -> ClientAuthIn:
        if self.method == "bearer" and not self.token:
            raise ValueError("method bearer needs token")
        if self.method == "basic" and (not self.user or self.password is None):
            raise ValueError("method basic needs user and password")
        return self


class RateLimits(Request):
    """Messages of the whole tenant; 0 or null: no limit."""

    hourly: Count | None = None
    daily: Count | None = None


class TenantFields(Request):
    """What can be set of a tenant."""

    name: Name | None = None
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
    active: bool | None = None
    rate_limits: RateLimits | None = None
    large_file_config: dict[str, Any] | None = None
    retention_seconds: Annotated[float, Field(ge=0)] | None = None
    signing_secret: Annotated[str, Field(pattern=r"^(whsec_.{24,100}|\*{8})$")] | None = None

    @field_validator("client_base_url")
    @classmethod
    def _web_url(cls, value: str | None) -> str | None:
        if value is not None and not _WEB_URL.fullmatch(value):
            raise ValueError("must start with http:// or https:// and hold no blanks")
        return value

    @field_validator("large_file_config")
    @classmethod
    def _storable(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        try:
            orjson.dumps(value)
        except TypeError as error:
            raise ValueError(f"cannot be stored: {error}") from None
        return value


class TenantIn(TenantFields):
    """Body of ``POST /tenant``."""

    id: TenantId


class TenantOut(BaseModel):
    """A tenant; secrets are masked. Times are Unix seconds."""

    id: str
    name: str | None
    client_base_url: str | None
    client_sync_path: str
    client_attachment_path: str
    client_auth: dict[str, Any]
    active: bool
    rate_limits: dict[str, Any] | None
    large_file_config: dict[str, Any] | None
    retention_seconds: float | None
    suspended_batches: list[str]
    signing_secret: str | None
    has_api_key: bool
    api_key_expires_at: int | None
    created_at: int
    updated_at: int


class TenantAnswer(BaseModel):
    ok: bool = True
    tenant: TenantOut


class TenantSaved(TenantAnswer):
    """``api_key`` is there once, when the tenant is new."""

    api_key: str | None = None


class TenantsOut(BaseModel):
    ok: bool = True
    tenants: list[TenantOut]


class ApiKeyIn(Request):
    expires_at: Timestamp | None = Field(None, description="Unix seconds; null: never.")


class ApiKeyOut(BaseModel):
    """The key is shown once."""

    ok: bool = True
    api_key: str


class Done(BaseModel):
    ok: bool = True


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


class SyncStatusOut(BaseModel):
    """All tenants, in the order of their ids."""

    ok: bool = Field(True, description="Always true.")
    sync_interval_seconds: float = Field(description="Longest time between two calls.")
    tenants: list[SyncState] = Field(description="One entry for each tenant.")
