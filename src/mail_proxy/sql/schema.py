"""Schema of all tables, with the constraints that the database enforces itself.

A message is split. ``message`` is the narrow row that the queue works on, ``message_payload``
holds the content, ``message_event`` holds the events of the message, which are reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from mail_proxy.sql.conditions import (
    FRESH,
    PUT_OFF,
    REPORTED,
    WAITING_STATES,
    held,
    later,
    ready,
    ready_of_batch,
    sending,
    urgent,
)
from mail_proxy.sql.metadata import metadata
from mail_proxy.sql.types import (
    AS_NAMED,
    BY_STATEMENT,
    RECORD_ONLY,
    Instant,
    Json,
    Pk,
    Sealed,
    Serial,
    at_most,
)


def _where(condition: Callable[[str], str]) -> dict[str, Any]:
    """Return the arguments that make an index partial, on both databases."""
    clause = text(condition("message").replace("message.", ""))
    return {"sqlite_where": clause, "postgresql_where": clause}


instance = Table(
    "instance",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("directory_version", BigInteger, nullable=False, server_default="0"),
    #: The version of the last removal. No row has this version, because the row is gone.
    Column("directory_removal_version", BigInteger, nullable=False, server_default="0"),
    Column("key_check", Sealed),
    Column("settings", Json),
    Column("created_at", Instant, info=RECORD_ONLY, nullable=False),
    Column("updated_at", Instant, info=RECORD_ONLY, nullable=False),
    Column("last_backup_at", Instant, info=RECORD_ONLY),
    CheckConstraint("id = 1", name="single_row"),
)

tenant = Table(
    "tenant",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("client_base_url", Text),
    Column("client_sync_path", Text),
    Column("client_attachment_path", Text),
    Column("client_auth", Sealed),
    Column("private_allowed", Boolean, nullable=False, server_default=text("false")),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("rate_limits", Json),
    Column("large_file_config", Sealed),
    Column("retention_seconds", Double),
    #: The tenant's own quotas. Without one, the setting of this name holds.
    Column("max_queued_messages", BigInteger),
    Column("max_queued_mb", Double),
    Column("max_accounts", Integer),
    Column("max_calls_per_second", Double),
    Column("signing_secret", Sealed),
    Column("previous_signing_secret", Sealed),
    Column("signing_secret_changed_at", Instant, info=RECORD_ONLY),
    Column("api_key_hash", Text, unique=True),
    Column("api_key_expires_at", Instant, info=AS_NAMED),
    Column("created_at", Instant, info=RECORD_ONLY, nullable=False),
    Column("updated_at", Instant, info=RECORD_ONLY, nullable=False),
    Column("directory_version", BigInteger, nullable=False, server_default="0", index=True),
)

tenant_sync = Table(
    "tenant_sync",
    metadata,
    Column("tenant_id", Text, ForeignKey("tenant.id", ondelete="CASCADE"), primary_key=True),
    Column("last_sync_at", Instant, info=RECORD_ONLY),
    Column("last_error", Text),
    Column("next_due_at", Instant, info=at_most(None), nullable=False, server_default="0"),
    Column("quiet_until", Instant, info=AS_NAMED),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("idle_calls", Integer, nullable=False, server_default="0"),
    Column("claimed_by", Text),
    Column("claimed_until", Instant, info=at_most(None)),
)

sync_log = Table(
    "sync_log",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("tenant_id", Text, ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
    Column("at", Instant, info=RECORD_ONLY, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("reports", Integer, nullable=False),
    Column("acknowledged", Integer, nullable=False),
    Column("bytes_sent", Integer, nullable=False),
    Column("bytes_received", Integer, nullable=False),
    Index("ix_sync_log_tenant_id_id", "tenant_id", "id"),
)

suspension = Table(
    "suspension",
    metadata,
    Column("tenant_id", Text, ForeignKey("tenant.id", ondelete="CASCADE"), primary_key=True),
    Column("batch_code", Text, primary_key=True),
)

account = Table(
    "account",
    metadata,
    Column("pk", Pk, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
    Column("id", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=False),
    #: Here and in ``tenant``: the administrator saved the host, which may be at any address.
    Column("private_allowed", Boolean, nullable=False, server_default=text("false")),
    Column("smtp_user", Text),
    Column("password", Sealed),
    #: How the account logs in, as a JSON object; null: with the password, if there is a user.
    Column("auth", Sealed),
    Column("tls", Text, nullable=False),
    Column("verify_cert", Boolean, nullable=False),
    Column("allow_insecure_auth", Boolean, nullable=False),
    Column("ttl_seconds", Integer, nullable=False),
    Column("batch_size", Integer),
    Column("max_connections", Integer),
    Column("limit_per_minute", Integer),
    Column("limit_per_hour", Integer),
    Column("limit_per_day", Integer),
    Column("limit_behavior", Text, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("from_address", Text),
    Column("is_pec_account", Boolean, nullable=False),
    Column("imap_host", Text),
    Column("imap_port", Integer),
    Column("imap_user", Text),
    Column("imap_password", Sealed),
    Column("imap_folder", Text),
    #: Settings of features, by field name. A missing field has its default.
    Column("options", Json),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("deleted_at", Instant, info=RECORD_ONLY),
    Column("created_at", Instant, info=RECORD_ONLY, nullable=False),
    Column("updated_at", Instant, info=RECORD_ONLY, nullable=False),
    Column("directory_version", BigInteger, nullable=False, server_default="0", index=True),
    CheckConstraint("tls IN ('auto', 'starttls', 'ssl', 'none')", name="tls"),
    CheckConstraint("limit_behavior IN ('defer', 'reject')", name="limit_behavior"),
    CheckConstraint("port BETWEEN 1 AND 65535", name="port"),
    #: All accounts of a tenant, including removed ones.
    Index("ix_account_of_tenant", "tenant_id", "id"),
    Index(
        "uq_account_tenant_id_id",
        "tenant_id",
        "id",
        unique=True,
        sqlite_where=text("deleted_at IS NULL"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index(
        "uq_account_default",
        "tenant_id",
        unique=True,
        sqlite_where=text("is_default AND deleted_at IS NULL"),
        postgresql_where=text("is_default AND deleted_at IS NULL"),
    ),
)

account_health = Table(
    "account_health",
    metadata,
    Column("account_pk", Pk, ForeignKey("account.pk", ondelete="CASCADE"), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_error", Text),
    Column("since_at", Instant, info=BY_STATEMENT, nullable=False),
    Column("retry_at", Instant, info=BY_STATEMENT, nullable=False),
)

rate_use = Table(
    "rate_use",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("window_seconds", Integer, primary_key=True, autoincrement=False),
    Column("bucket_at", BigInteger, primary_key=True, autoincrement=False),
    Column("used", Integer, nullable=False),
    sqlite_with_rowid=False,
)

#: Longest time of a claim. After a clock jump, claims that end later are shortened to it.
LONGEST_CLAIM_SECONDS = 3600.0
claim = Table(
    "claim",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until", Instant, info=at_most(LONGEST_CLAIM_SECONDS), nullable=False),
)

dispatcher = Table(
    "dispatcher",
    metadata,
    Column("id", Pk, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Instant, info=RECORD_ONLY, nullable=False),
    # Dispatchers compare the value with the last one that they read, never with a clock.
    Column("lease_until", Instant, info=RECORD_ONLY, nullable=False),
)

message = Table(
    "message",
    metadata,
    Column("pk", Pk, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False),
    Column("id", Text, nullable=False),
    Column("account_pk", Pk, ForeignKey("account.pk", ondelete="CASCADE"), nullable=False),
    Column("state", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("due_at", Instant, info=BY_STATEMENT, nullable=False),
    Column("created_at", Instant, info=RECORD_ONLY, nullable=False),
    Column("size", Integer, nullable=False),
    Column("retries", Integer, nullable=False, server_default="0"),
    Column("claimed_by", Pk),
    Column("held", Boolean, nullable=False, server_default=text("false")),
    Column("batch_code", Text),
    Column("expires_at", Instant, info=AS_NAMED),
    Column("client_message_id", Text),
    Column("recipients_left", Json),
    Column("recipient_results", Json),
    #: A server has accepted the message for at least one recipient, but not for all. The message
    #: may not be replaced, and a retry leaves those recipients out.
    Column("partly_sent", Boolean, nullable=False, server_default=text("false")),
    Column("state_at", Instant, info=BY_STATEMENT),
    Column("error", Text),
    UniqueConstraint("tenant_id", "id"),
    CheckConstraint("state IN ('pending', 'sending', 'sent', 'deferred', 'error')", name="state"),
    CheckConstraint("priority BETWEEN 0 AND 3", name="priority"),
    CheckConstraint("(state = 'sending') = (claimed_by IS NOT NULL)", name="claimed"),
    CheckConstraint(
        f"NOT held OR (state IN ({WAITING_STATES}) AND batch_code IS NOT NULL)", name="held"
    ),
    Index(
        "ix_message_waiting",
        "account_pk",
        "priority",
        "due_at",
        "pk",
        **_where(ready),
    ),
    Index("ix_message_sending", "account_pk", "claimed_by", **_where(sending)),
    Index(
        "ix_message_waiting_of_batch",
        "tenant_id",
        "batch_code",
        "priority",
        "due_at",
        "pk",
        **_where(ready_of_batch),
    ),
    Index(
        "ix_message_held",
        "tenant_id",
        "batch_code",
        "priority",
        "due_at",
        "pk",
        **_where(held),
    ),
    #: For listings by state, counts, and the messages of a removed tenant.
    Index("ix_message_tenant_id_state", "tenant_id", "state", "pk"),
    #: For listings by account. Without it, removing an account row scans the whole table.
    Index("ix_message_account_pk_pk", "account_pk", "pk"),
    Index("ix_message_later", "due_at", "account_pk", **_where(later)),
    #: Finds accounts with messages of priority 0, even if millions of others wait. It has columns
    #: in the order of ``ix_message_waiting``, because PostgreSQL may use one instead of the other.
    Index("ix_message_urgent", "account_pk", "due_at", "pk", **_where(urgent)),
    Index(
        "ix_message_batch",
        "tenant_id",
        "batch_code",
        "pk",
        sqlite_where=text("batch_code IS NOT NULL"),
        postgresql_where=text("batch_code IS NOT NULL"),
    ),
    Index(
        "ix_message_client_message_id",
        "client_message_id",
        sqlite_where=text("client_message_id IS NOT NULL"),
        postgresql_where=text("client_message_id IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)

message_payload = Table(
    "message_payload",
    metadata,
    Column("pk", Pk, ForeignKey("message.pk", ondelete="CASCADE"), primary_key=True),
    Column("recipients", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("content", Text, nullable=False),
)

#: The content of large messages without their bodies, for listings: reading a column of
#: ``message_payload`` behind a large one reads that one as well.
message_head = Table(
    "message_head",
    metadata,
    Column("pk", Pk, ForeignKey("message.pk", ondelete="CASCADE"), primary_key=True),
    Column("content", Text, nullable=False),
)

message_event = Table(
    "message_event",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("message_pk", Pk, ForeignKey("message.pk", ondelete="CASCADE"), nullable=False),
    Column("tenant_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("event_at", Instant, info=RECORD_ONLY, nullable=False),
    Column("data", Json),
    Column("reported_at", Instant, info=RECORD_ONLY),
    Column("report_after", Instant, info=BY_STATEMENT),
    Column("report_attempts", Integer, nullable=False, server_default="0"),
    Index("ix_message_event_message_pk_seq", "message_pk", "seq"),
    Index(
        "ix_message_event_fresh",
        "tenant_id",
        "seq",
        sqlite_where=text(FRESH),
        postgresql_where=text(FRESH),
    ),
    Index(
        "ix_message_event_put_off",
        "tenant_id",
        "report_after",
        "seq",
        sqlite_where=text(PUT_OFF),
        postgresql_where=text(PUT_OFF),
    ),
    Index(
        "ix_message_event_reported",
        "tenant_id",
        "reported_at",
        "seq",
        sqlite_where=text(REPORTED),
        postgresql_where=text(REPORTED),
    ),
)

command_log = Table(
    "command_log",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("at", Instant, info=RECORD_ONLY, nullable=False),
    Column("operation", Text),
    Column("endpoint", Text, nullable=False),
    Column("tenant_id", Text),
    Column("actor", Text, nullable=False),
    Column("address", Text),
    Column("request_id", Text),
    Column("status", Integer, nullable=False),
    Column("error", Text),
    Column("payload", Json),
    Index("ix_command_log_at", "at"),
    Index("ix_command_log_tenant_id_id", "tenant_id", "id"),
)
