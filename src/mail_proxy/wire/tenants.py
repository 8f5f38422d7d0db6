"""JSON shapes of tenants and their keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from mail_proxy.domain.tenant import QUOTAS, signing_key
from mail_proxy.domain.web_url import check_web_url
from mail_proxy.wire.bound_secrets import (
    SentTo,
    Usual,
    usual_attachment_path,
    usual_path,
    usual_url,
)
from mail_proxy.wire.fields import (
    Answer,
    Count,
    Identifier,
    Matching,
    Name,
    NotBool,
    Redacted,
    Request,
    Seconds,
    Secret,
)
from mail_proxy.wire.instants import Timestamp
from mail_proxy.wire.large_files import LargeFileIn
from mail_proxy.wire.mistakes import WrongField
from mail_proxy.wire.secrets import MASK

TenantId = Annotated[
    str,
    Field(min_length=1, max_length=64),
    Matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]*",
        "allowed: ASCII letters and digits, then also dots, dashes and underscores",
    ),
]
Path = Annotated[
    str,
    Field(max_length=1000),
    Matching(r"/[^\s\x00-\x1f]*", "must begin with / and have no blanks"),
]
SigningSecret = Annotated[str, Field(max_length=100), Redacted()]
Most = Annotated[int, NotBool, Field(ge=1, le=2_147_483_647)]
Megabytes = Annotated[float, NotBool, Field(gt=0, le=1_000_000_000, allow_inf_nan=False)]
Rate = Annotated[float, NotBool, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
#: Fields that a tenant key cannot change, not even of its own tenant.
ADMIN_FIELDS = frozenset(
    {"active", "rate_limits", "retention_seconds", "large_file_config", *QUOTAS}
)


class ClientAuthIn(Request):
    """Authentication of the proxy to the tenant's application."""

    method: Literal["none", "bearer", "basic"] = Field(description="none, bearer or basic.")
    token: Secret | None = Field(None, description="Token for `bearer`.")
    user: Name | None = Field(None, description="User name for `basic`.")
    password: Secret | None = Field(None, description="Password for `basic`.")

    @model_validator(mode="after")
    def _complete(self) -> ClientAuthIn:
        if self.method == "bearer" and not self.token:
            raise WrongField("token", "required for the method bearer")
        if self.method == "basic" and not self.user:
            raise WrongField("user", "required for the method basic")
        if self.method == "basic" and self.password is None:
            raise WrongField("password", "required for the method basic")
        return self


#: The fields that say where calls to the application go, the host first.
PLACE: dict[str, Usual] = {
    "client_base_url": usual_url,
    "client_sync_path": usual_path,
    "client_attachment_path": usual_attachment_path,
}
#: The signing secret has no place: it makes signatures, and is never sent itself.
BoundClientAuth = Annotated[ClientAuthIn, SentTo(**PLACE)]


class RateLimits(Request):
    """Limits for all messages of a tenant; 0 or null: no limit."""

    hourly: Count | None = Field(None, description="Messages per hour.")
    daily: Count | None = Field(None, description="Messages per day.")


class TenantFields(Request):
    """The fields of a tenant that can be set; fields that are left out stay."""

    name: Name | None = Field(None, description="Name to show; null or empty: none.")
    client_base_url: Annotated[str, Field(max_length=2000)] | None = Field(
        None, description="http:// or https:// URL of the tenant's application."
    )
    client_sync_path: Path | None = Field(
        None, description="Path that takes reports; default /mail-proxy/sync."
    )
    client_attachment_path: Path | None = Field(
        None,
        description="Path that is called for attachments of the mode endpoint; default "
        "/mail-proxy/attachments.",
    )
    client_auth: BoundClientAuth | None = Field(
        None,
        description="Secrets are shown as ********, which keeps the stored ones when sent back. "
        "They are asked for again if client_base_url or one of the two paths changes.",
    )
    active: bool | None = Field(
        None, description="An inactive tenant sends nothing, and its key gets 403."
    )
    rate_limits: RateLimits | None = Field(
        None, description="Limits for all accounts of the tenant together."
    )
    retention_seconds: Seconds | None = Field(
        None,
        description="Finished messages are removed this long after their last report, seconds.",
    )
    max_queued_messages: Most | None = Field(
        None, description="Most unfinished messages; null: the setting of this name."
    )
    max_queued_mb: Megabytes | None = Field(
        None,
        description="Most content of unfinished messages, MB (10^6 bytes); null: the setting of "
        "this name.",
    )
    max_accounts: Most | None = Field(
        None, description="Most accounts; null: the setting of this name."
    )
    max_calls_per_second: Rate | None = Field(
        None,
        description="Most calls with the tenant's key, per process; null: the setting of this "
        "name.",
    )
    large_file_config: LargeFileIn | None = Field(
        None, description="Rules for large attachments, replaced as a whole; null: none."
    )
    signing_secret: SigningSecret | None = Field(
        None,
        description="Signs the reports: `whsec_` and the base64 of 24 to 64 random bytes. The "
        "previous secret signs as well for 24 hours. null: reports are not signed. It is shown as "
        "********, which keeps the stored one when sent back.",
    )

    @field_validator("name")
    @classmethod
    def _no_empty_name(cls, value: str | None) -> str | None:
        return value or None

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


class TenantIn(TenantFields):
    """A tenant to create or to change."""

    id: TenantId = Field(description="Letters, digits, dot, dash and underscore.")


class TenantRef(Request):
    """A tenant, by its id."""

    id: Identifier = Field(description="The tenant's id.")


class Nothing(Request):
    """A request without fields."""


class TenantFilter(Request):
    """The filter of ``GET /tenants``."""

    active_only: bool = False


class TenantOut(BaseModel):
    """A tenant; secrets are shown as ``********``. Times are Unix seconds."""

    id: str = Field(description="The tenant's id.")
    name: str | None = Field(description="Name to show.")
    client_base_url: str | None = Field(description="URL of the tenant's application.")
    client_sync_path: str = Field(description="Path that takes reports.")
    client_attachment_path: str = Field(description="Path that is called for attachments.")
    client_auth: dict[str, Any] = Field(
        description="How the proxy authenticates to the application; secrets are ********."
    )
    active: bool = Field(description="Whether the tenant sends and its key is accepted.")
    rate_limits: dict[str, Any] | None = Field(
        description="Limits for all accounts of the tenant together."
    )
    retention_seconds: float | None = Field(
        description="Retention in seconds; null: the instance's."
    )
    max_queued_messages: int | None = Field(description="Quota; null: the setting of this name.")
    max_queued_mb: float | None = Field(description="Quota; null: the setting of this name.")
    max_accounts: int | None = Field(description="Quota; null: the setting of this name.")
    max_calls_per_second: float | None = Field(description="Quota; null: the setting of this name.")
    large_file_config: dict[str, Any] | None = Field(
        None, description="Rules for large attachments; null: none."
    )
    suspended_batches: list[str] = Field(description="Batches that are suspended; `*`: everything.")
    signing_secret: str | None = Field(description="******** if one is stored.")
    has_api_key: bool = Field(description="Whether the tenant has a key.")
    api_key_expires_at: int | None = Field(description="When the key expires; null: never.")
    created_at: int = Field(description="When the tenant was created.")
    updated_at: int = Field(description="When the tenant was last changed.")


class TenantAnswer(Answer):
    """One tenant."""

    tenant: TenantOut = Field(description="The tenant.")


class TenantSaved(TenantAnswer):
    """The saved tenant; a new tenant's ``api_key`` is shown this once."""

    api_key: Secret | None = Field(None, description="A new tenant's key; shown this once.")


class TenantsOut(Answer):
    """All tenants."""

    tenants: list[TenantOut] = Field(description="In the order of their ids.")


class ApiKeyIn(Request):
    """Options of a new key."""

    expires_at: Timestamp | None = Field(None, description="Unix seconds; null: never.")


class NewApiKey(ApiKeyIn):
    """A new key for a tenant."""

    id: Identifier = Field(description="The tenant's id.")


class ApiKeyOut(Answer):
    """A new key; it is shown this once."""

    api_key: Secret = Field(description="43 characters, URL-safe.")


class Done(Answer):
    """Success, with nothing more to say."""


class SyncState(BaseModel):
    """State of the report calls to a tenant's application."""

    id: str = Field(description="The tenant.")
    name: str | None = Field(description="Name to show.")
    active: bool = Field(description="Whether the tenant is active.")
    client_base_url: str | None = Field(description="URL of the tenant's application.")
    last_sync_ts: int | None = Field(
        description="When the last answered call was made; null: none."
    )
    next_sync_due: bool = Field(description="Whether a call is due now.")
    in_dnd: bool = Field(description="Whether the application asked for do-not-disturb.")
    next_sync_after: int | None = Field(description="No call without reports before this time.")
    last_sync_error: str | None = Field(description="Why the last call failed.")


class SyncStatusOut(Answer):
    """State of the report calls of all tenants."""

    sync_interval_seconds: float = Field(description="Longest time between two calls.")
    tenants: list[SyncState] = Field(description="One entry per tenant, in the order of their ids.")
