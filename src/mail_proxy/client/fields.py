"""Fields of requests, as types of dictionaries. Only required ones must be given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Required, TypedDict

from mail_proxy.client.calls import When

Priority = Literal[0, 1, 2, 3, "immediate", "high", "medium", "low"]
Tls = Literal["auto", "starttls", "ssl", "none"]
Addresses = Sequence[str] | str


class ClientAuth(TypedDict, total=False):
    """Authentication of the proxy to a tenant's application."""

    method: Required[Literal["none", "bearer", "basic"]]
    token: str | None
    user: str | None
    password: str | None


class Attachment(TypedDict, total=False):
    """A file that is sent with a mail; ``storage_path`` is its content or its place."""

    filename: Required[str]
    storage_path: Required[str]
    fetch_mode: Literal["base64", "http_url", "filesystem", "storage", "endpoint"] | None
    mime_type: str | None
    content_md5: str | None
    auth: ClientAuth | None
    content_id: str | None
    disposition: Literal["attachment", "inline"] | None


class ListUnsubscribe(TypedDict, total=False):
    """Ways to unsubscribe that the application offers itself; one or both."""

    url: str | None
    mailto: str | None


#: A mail to queue. Not a class, because ``from`` is a keyword.
Message = TypedDict(
    "Message",
    {
        "id": Required[str],
        "from": Required[str],
        "subject": Required[str],
        "tenant_id": str | None,
        "account_id": str | None,
        "to": Addresses,
        "cc": Addresses,
        "bcc": Addresses,
        "reply_to": Addresses,
        "return_path": str | None,
        "message_id": str | None,
        "body": str,
        "content_type": Literal["plain", "html"],
        "body_html": str | None,
        "headers": Mapping[str, str],
        "priority": Priority | None,
        "deferred_ts": When | None,
        "expires_ts": When | None,
        "batch_code": str | None,
        "attachments": Sequence[Attachment],
        "list_unsubscribe": bool | ListUnsubscribe | None,
    },
    total=False,
)

#: A whole message (RFC 5322) to queue, which is sent as it is. ``raw`` is its base64.
RawMessage = TypedDict(
    "RawMessage",
    {
        "id": Required[str],
        "raw": Required[str],
        "from": str | None,
        "to": Addresses | None,
        "cc": Addresses | None,
        "bcc": Addresses | None,
        "return_path": str | None,
        "tenant_id": str | None,
        "account_id": str | None,
        "priority": Priority | None,
        "deferred_ts": When | None,
        "expires_ts": When | None,
        "batch_code": str | None,
    },
    total=False,
)


class AccountAuth(TypedDict, total=False):
    """Log-in of an account: password, none or OAuth2."""

    method: Required[Literal["password", "none", "oauth2"]]
    provider: Literal["microsoft", "google", "custom"] | None
    grant: Literal["client_credentials", "refresh_token", "service_account"] | None
    client_id: str | None
    client_secret: str | None
    tenant: str | None
    refresh_token: str | None
    token_url: str | None
    scope: str | None
    subject: str | None
    private_key: str | None


class _AccountOptions(TypedDict, total=False):
    tenant_id: str | None
    host: str | None
    port: int | None
    user: str | None
    password: str | None
    auth: AccountAuth | None
    tls: Tls | None
    use_tls: bool | None
    use_ssl: bool | None
    verify_cert: bool | None
    allow_insecure_auth: bool | None
    ttl: int | None
    batch_size: int | None
    max_connections: int | None
    limit_per_minute: int | None
    limit_per_hour: int | None
    limit_per_day: int | None
    limit_behavior: Literal["defer", "reject"] | None
    is_default: bool | None
    helo_name: str | None
    dkim: bool | None
    is_pec_account: bool | None
    imap_host: str | None
    imap_port: int | None
    imap_user: str | None
    imap_password: str | None
    imap_folder: str | None
    imap_tls: Tls | None


class AccountFields(_AccountOptions, total=False):
    """An account to create, or the fields of an account to change."""

    id: Required[str]


class AccountTestFields(_AccountOptions, total=False):
    """Fields of an account to test. They are not saved."""

    id: str | None
    to: str | None


class RateLimits(TypedDict, total=False):
    """Limits for all messages of a tenant; 0 or None: no limit."""

    hourly: int | None
    daily: int | None


class TenantFields(TypedDict, total=False):
    """The fields of a tenant that can be set; fields that are left out stay."""

    name: str | None
    client_base_url: str | None
    client_sync_path: str | None
    client_attachment_path: str | None
    client_auth: ClientAuth | None
    active: bool | None
    rate_limits: RateLimits | None
    retention_seconds: float | None
    max_queued_messages: int | None
    max_queued_mb: float | None
    max_accounts: int | None
    max_calls_per_second: float | None
    large_file_config: dict[str, Any] | None
    signing_secret: str | None


class SettingFields(TypedDict, total=False):
    """Settings that may change at run time; None restores the value of the start."""

    default_priority: Priority | None
    max_enqueue_batch: int | None
    max_body_mb: float | None
    report_retention_seconds: float | None
    audit_retention_days: int | None


class BounceMailboxFields(TypedDict, total=False):
    """Fields of the bounce mailbox."""

    enabled: bool
    imap_host: str
    imap_port: int
    imap_user: str
    imap_password: str
    imap_folder: str
    imap_tls: Literal["ssl", "starttls", "none"]
    poll_interval: int
    return_path: str | None
    after_processing: str
    detect_replies: bool
