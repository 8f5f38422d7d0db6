"""Every setting with its type, bounds, unit and meaning.

Those of the queue are in ``config_queue.py``. ``settings.py`` reads their values from the command
line, the environment and ``config.toml``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from mail_proxy.config_queue import (
    LONGEST_LEASE_SECONDS,
    ConcurrencyConfig,
    QueueConfig,
    QuotaConfig,
    TimingConfig,
)
from mail_proxy.config_values import (
    Group,
    HeloName,
    HostAndPort,
    NameServer,
    NetworkName,
    PositiveSeconds,
    WebUrl,
    listed,
    mail_address,
    signing_secret,
)
from mail_proxy.domain.networks import LOOPBACK, is_loopback
from mail_proxy.domain.retry import RetryStrategy

__all__ = [
    "LONGEST_LEASE_SECONDS",
    "AlertConfig",
    "AttachmentConfig",
    "CacheConfig",
    "ClientSyncConfig",
    "ConcurrencyConfig",
    "Group",
    "ProxyConfig",
    "QueueConfig",
    "QuotaConfig",
    "RetryConfig",
    "TimingConfig",
]


class RetryConfig(Group):
    """Schedule of retries after temporary failures."""

    retry_delays: tuple[PositiveSeconds, ...] = Field(
        (60, 300, 900, 3600, 7200, 14_400, 28_800, 43_200),
        min_length=1,
        description="Delay before each retry, seconds. The last one repeats; up to 10 % is added.",
    )
    max_retries: Annotated[int, Field(ge=0, le=100)] = Field(
        8, description="Number of retries before a message ends in error."
    )
    account_trouble_max_wait: Annotated[float, Field(ge=0, le=31_536_000)] = Field(
        259_200,
        description="Longest wait for an account that cannot be used, seconds; then its messages "
        "end in error.",
    )
    on_uncertain: Literal["retry", "hold"] | None = Field(
        None,
        description="After a connection was lost before the final answer: retry sends the message "
        "again, hold gives it up. Default: hold for PEC accounts, retry for all others.",
    )

    @field_validator("retry_delays", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return tuple(value.split(",")) if isinstance(value, str) else value


class ClientSyncConfig(Group):
    """Destination of delivery reports of tenants without a URL of their own."""

    url: WebUrl | None = Field(None, description="Complete URL, called with POST.")
    user: str | None = Field(None, description="User for HTTP basic authentication.")
    password: SecretStr | None = Field(None, description="Password for HTTP basic authentication.")
    token: SecretStr | None = Field(None, description="Bearer token, instead of user and password.")


class AttachmentConfig(Group):
    """Attachments: where they may come from, and how large they may be."""

    attachment_roots: tuple[Path, ...] = Field(
        (),
        max_length=100,
        description="Folders whose files messages may attach, and below which tenant keys may have "
        "local storages, or none. Links do not lead out.",
    )
    base_dir: Path | None = Field(
        None, description="Folder of attachments whose storage_path is a relative path."
    )
    attachment_base_url: WebUrl | None = Field(
        None,
        description="URL that is called for attachments of the mode endpoint, for tenants without "
        "a client_base_url.",
    )
    allow_private_urls: tuple[NetworkName, ...] = Field(
        (),
        max_length=100,
        description="Networks that are not public and that URLs of attachments may lead to, or "
        "none.",
    )
    attachment_timeout: Annotated[float, Field(gt=0, le=3600)] = Field(
        30.0, description="Longest time to fetch one attachment, seconds."
    )
    max_attachment_mb: Annotated[float, Field(gt=0, le=10_000)] = Field(
        25.0, description="Largest attachment, MB (10^6 bytes)."
    )
    max_large_file_mb: Annotated[float, Field(gt=0, le=100_000)] = Field(
        2000.0,
        description="Largest attachment that becomes a link (large_file_config with the action "
        "rewrite), MB (10^6 bytes).",
    )
    max_message_mb: Annotated[float, Field(gt=0, le=10_000)] = Field(
        35.0, description="Largest mail as it is sent, with attachments in base64, MB (10^6 bytes)."
    )
    max_concurrent_attachments: Annotated[int, Field(ge=1, le=100)] = Field(
        3, description="Attachments that are fetched at once for one tenant, per process."
    )
    attachment_memory_mb: Annotated[float, Field(ge=0, le=100_000)] = Field(
        64.0,
        description="Attachments in memory while their mails are sent, per process, MB (10^6 "
        "bytes). Others, and those of more than 100 kB, are read from files.",
    )

    @field_validator("attachment_roots", "allow_private_urls", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return listed(value)


class CacheConfig(Group):
    """Cache of attachments, in the memory of each process and on a shared disk."""

    cache_memory_max_mb: Annotated[float, Field(ge=0, le=100_000)] = Field(
        50.0, description="Attachments in memory, per process, MB (10^6 bytes); 0: none."
    )
    cache_memory_ttl: PositiveSeconds = Field(
        300.0, description="Time after which an attachment in memory is forgotten, seconds."
    )
    cache_disk_dir: Path | None = Field(
        None,
        description="Folder for attachments of more than 100 kB, and for those that are being "
        "sent; default: cache/ in the folder of the instance, without one none.",
    )
    cache_disk_max_mb: Annotated[float, Field(ge=0, le=100_000_000)] = Field(
        500.0, description="Attachments in the cache on disk, MB (10^6 bytes); 0: none."
    )
    cache_disk_ttl: PositiveSeconds = Field(
        3600.0, description="Time after which an attachment on disk is removed, seconds."
    )


class AlertConfig(Group):
    """Alerts to a person about what needs attention."""

    alert_email: Annotated[str, AfterValidator(mail_address)] | None = Field(
        None, description="Address that gets a mail about what needs attention."
    )
    alert_account: str | None = Field(
        None,
        description="Account of the tenant default that sends these mails; default: its default "
        "account.",
    )
    alert_url: WebUrl | None = Field(
        None, description="URL that is called with POST about what needs attention."
    )
    alert_secret: Annotated[SecretStr, AfterValidator(signing_secret)] | None = Field(
        None,
        description="Secret that signs the calls, whsec_ and the base64 of 24 to 64 bytes; "
        "default: one that is made on first use.",
    )
    alert_after: PositiveSeconds = Field(
        300.0, description="Time that something needs attention before an alert, seconds."
    )


class PecConfig(Group):
    """Italian certified mail (PEC): limits, and receipts."""

    pec_acceptance_timeout: PositiveSeconds = Field(
        1800.0,
        description="Time after sending without a receipt of acceptance that makes the event "
        "pec_timeout, seconds.",
    )
    pec_max_mb: Annotated[float, Field(gt=0, le=10_000)] = Field(
        30.0,
        description="Largest product of the size of a PEC message and the number of its "
        "recipients, MB (10^6 bytes).",
    )
    pec_poll_interval: Annotated[float, Field(ge=1, le=3600)] = Field(
        60.0,
        description="Longest time between two looks into the mailbox of a PEC account, seconds. "
        "IDLE is used too.",
    )
    pec_ca_file: Path | None = Field(
        None,
        description="File with certificates (PEM) of the authorities that certify PEC providers; "
        "without it, the signatures of receipts are not verified.",
    )
    receipts_dir: Path | None = Field(
        None,
        description="Folder of the archived PEC receipts; several hosts share it. Default: "
        "receipts/ in the folder of the instance, or next to the SQLite file.",
    )


class UiConfig(Group):
    """The dashboard under ``/ui``."""

    ui: bool = Field(True, description="Whether the dashboard is served, under /ui.")
    ui_session_hours: Annotated[float, Field(gt=0, le=720)] = Field(
        12.0, description="Time after which a log-in to the dashboard ends, hours."
    )


class ProxyConfig(Group):
    """All settings of one instance."""

    name: str = Field("default", description="Name of the instance.")
    db_path: str = Field(
        "mail_service.db", description="Path of the SQLite file, or a postgresql:// URL."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8000, description="Port to listen on.")
    public_url: WebUrl | None = Field(
        None,
        description="URL at which the readers of mails reach this service, for links to large "
        "files and to unsubscribe; default for files: http://, host and port.",
    )
    api_token: SecretStr | None = Field(None, description="Admin token.")
    key_file: Path | None = Field(
        None, description="File with the encryption key; default: next to the SQLite file."
    )
    scheduler_active: bool = Field(True, description="Whether this instance delivers and reports.")
    test_mode: bool = Field(False, description="Deliver and report only when run-now is called.")
    debug: bool = Field(False, description="Log at level DEBUG. Answers stay the same.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level that is logged."
    )
    log_format: Literal["text", "json"] = Field("text", description="Format of the log lines.")
    log_delivery_activity: bool = Field(
        False,
        description="Log each message when it is queued, sent, deferred and reported. One that is "
        "given up is logged without it.",
    )
    helo_name: HeloName | None = Field(
        None,
        description="Name that EHLO says to mail servers; accounts may have their own. Default: "
        "the host's full name, else the address literal of the connection's own address.",
    )
    smtp_listen: HostAndPort | None = Field(
        None, description="Address and port for programs that hand in messages by SMTP, host:port."
    )
    smtp_tls_cert: Path | None = Field(
        None, description="Certificate chain (PEM) for STARTTLS of smtp_listen."
    )
    smtp_tls_key: Path | None = Field(
        None, description="Private key (PEM) for STARTTLS; default: in smtp_tls_cert."
    )
    smtp_max_mb: Annotated[float, Field(gt=0, le=1000)] = Field(
        35.0, description="Largest mail that smtp_listen takes, MB (10^6 bytes)."
    )
    dns_servers: tuple[NameServer, ...] = Field(
        (),
        max_length=10,
        description="Addresses of DNS servers, with a port if it is not 53; default: those of the "
        "host.",
    )
    trusted_proxies: tuple[NetworkName, ...] = Field(
        LOOPBACK,
        max_length=100,
        description="Networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto "
        "count, or none.",
    )
    allow_private_networks: tuple[NetworkName, ...] | None = Field(
        None,
        max_length=100,
        description="Networks that are not public and that tenant keys may point accounts and URLs "
        "to, or none; default: loopback, if the service itself listens on loopback only.",
    )
    suppress_hard_bounces: bool = Field(
        True,
        description="Put addresses on the tenant's suppression list if a bounce says that they do "
        "not exist, or after five soft bounces in 30 days.",
    )
    timing: TimingConfig = Field(default_factory=TimingConfig)
    queue: QueueConfig = Field(default_factory=QueueConfig)
    concurrency: ConcurrencyConfig = Field(default_factory=ConcurrencyConfig)
    quotas: QuotaConfig = Field(default_factory=QuotaConfig)
    retry: RetryConfig = Field(default_factory=RetryConfig)
    client_sync: ClientSyncConfig = Field(default_factory=ClientSyncConfig)
    attachments: AttachmentConfig = Field(default_factory=AttachmentConfig)
    cache: CacheConfig = Field(default_factory=CacheConfig)
    alerts: AlertConfig = Field(default_factory=AlertConfig)
    pec: PecConfig = Field(default_factory=PecConfig)
    ui: UiConfig = Field(default_factory=UiConfig)

    @field_validator("dns_servers", "trusted_proxies", "allow_private_networks", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return listed(value)

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _in_any_case(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, str):
            return value
        return value.upper() if info.field_name == "log_level" else value.lower()

    @property
    def least_level(self) -> str:
        """Return ``log_level``, or DEBUG if ``debug`` is set."""
        return "DEBUG" if self.debug else self.log_level

    @property
    def private_networks(self) -> tuple[str, ...]:
        """Return ``allow_private_networks``, or its default."""
        if self.allow_private_networks is not None:
            return self.allow_private_networks
        return LOOPBACK if is_loopback(self.host) else ()

    @property
    def retry_strategy(self) -> RetryStrategy:
        """Return the retry schedule as a ``RetryStrategy``."""
        return RetryStrategy(self.retry.retry_delays, self.retry.max_retries)

    @property
    def database_url(self) -> str:
        """Return ``db_path`` as a URL: postgresql://... or sqlite:///path."""
        if "://" in self.db_path:
            return self.db_path.replace("postgres://", "postgresql://", 1)
        return f"sqlite:///{self.db_path}"
