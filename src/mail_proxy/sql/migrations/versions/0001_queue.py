"""The queue: tenants, accounts, messages, events, dispatchers, audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mail_proxy.sql import types

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _command_log()
    _dispatcher()
    _instance()
    _rate_use()
    _tenant()
    _account()
    _suspension()
    _tenant_sync()
    _account_health()
    _message()
    _message_event()
    _message_payload()


def _command_log() -> None:
    op.create_table(
        "command_log",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("payload", types.Json(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_command_log")),
    )
    op.create_index("ix_command_log_at", "command_log", ["at"], unique=False)


def _dispatcher() -> None:
    op.create_table(
        "dispatcher",
        sa.Column("id", types.Pk(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dispatcher")),
    )


def _instance() -> None:
    op.create_table(
        "instance",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("directory_version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("key_check", types.Sealed(), nullable=True),
        sa.Column("settings", types.Json(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_instance_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
    )


def _rate_use() -> None:
    op.create_table(
        "rate_use",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("window_seconds", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bucket_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "window_seconds", "bucket_at", name=op.f("pk_rate_use")),
        sqlite_with_rowid=False,
    )


def _tenant() -> None:
    op.create_table(
        "tenant",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("client_base_url", sa.Text(), nullable=True),
        sa.Column("client_sync_path", sa.Text(), nullable=True),
        sa.Column("client_attachment_path", sa.Text(), nullable=True),
        sa.Column("client_auth", types.Sealed(), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("rate_limits", types.Json(), nullable=True),
        sa.Column("large_file_config", types.Json(), nullable=True),
        sa.Column("retention_seconds", sa.Double(), nullable=True),
        sa.Column("signing_secret", types.Sealed(), nullable=True),
        sa.Column("previous_signing_secret", types.Sealed(), nullable=True),
        sa.Column("signing_secret_changed_at", sa.Double(), nullable=True),
        sa.Column("api_key_hash", sa.Text(), nullable=True),
        sa.Column("api_key_expires_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant")),
        sa.UniqueConstraint("api_key_hash", name=op.f("uq_tenant_api_key_hash")),
    )


def _account() -> None:
    op.create_table(
        "account",
        sa.Column("pk", types.Pk(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("smtp_user", sa.Text(), nullable=True),
        sa.Column("password", types.Sealed(), nullable=True),
        sa.Column("tls", sa.Text(), nullable=False),
        sa.Column("verify_cert", sa.Boolean(), nullable=False),
        sa.Column("allow_insecure_auth", sa.Boolean(), nullable=False),
        sa.Column("ttl_seconds", sa.Integer(), nullable=False),
        sa.Column("batch_size", sa.Integer(), nullable=True),
        sa.Column("max_connections", sa.Integer(), nullable=True),
        sa.Column("limit_per_minute", sa.Integer(), nullable=True),
        sa.Column("limit_per_hour", sa.Integer(), nullable=True),
        sa.Column("limit_per_day", sa.Integer(), nullable=True),
        sa.Column("limit_behavior", sa.Text(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("from_address", sa.Text(), nullable=True),
        sa.Column("is_pec_account", sa.Boolean(), nullable=False),
        sa.Column("imap_host", sa.Text(), nullable=True),
        sa.Column("imap_port", sa.Integer(), nullable=True),
        sa.Column("imap_user", sa.Text(), nullable=True),
        sa.Column("imap_password", types.Sealed(), nullable=True),
        sa.Column("imap_folder", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("deleted_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.CheckConstraint(
            "limit_behavior IN ('defer', 'reject')", name=op.f("ck_account_limit_behavior")
        ),
        sa.CheckConstraint(
            "tls IN ('auto', 'starttls', 'ssl', 'none')", name=op.f("ck_account_tls")
        ),
        sa.CheckConstraint("port BETWEEN 1 AND 65535", name=op.f("ck_account_port")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_account_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_account")),
    )
    op.create_index(
        "uq_account_default",
        "account",
        ["tenant_id"],
        unique=True,
        sqlite_where=sa.text("is_default AND deleted_at IS NULL"),
        postgresql_where=sa.text("is_default AND deleted_at IS NULL"),
    )
    op.create_index(
        "uq_account_tenant_id_id",
        "account",
        ["tenant_id", "id"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )


def _suspension() -> None:
    op.create_table(
        "suspension",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("batch_code", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_suspension_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "batch_code", name=op.f("pk_suspension")),
    )


def _tenant_sync() -> None:
    op.create_table(
        "tenant_sync",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("last_sync_at", sa.Double(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("next_due_at", sa.Double(), server_default="0", nullable=False),
        sa.Column("quiet_until", sa.Double(), nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("idle_calls", sa.Integer(), server_default="0", nullable=False),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("claimed_until", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_tenant_sync_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenant_sync")),
    )


def _account_health() -> None:
    op.create_table(
        "account_health",
        sa.Column("account_pk", types.Pk(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("since_at", sa.Double(), nullable=False),
        sa.Column("retry_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_pk"],
            ["account.pk"],
            name=op.f("fk_account_health_account_pk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_pk", name=op.f("pk_account_health")),
    )


def _message() -> None:
    op.create_table(
        "message",
        sa.Column("pk", types.Pk(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_pk", types.Pk(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("retries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("claimed_by", types.Pk(), nullable=True),
        sa.Column("held", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("batch_code", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("client_message_id", sa.Text(), nullable=True),
        sa.Column("recipients_left", types.Json(), nullable=True),
        sa.Column("recipient_results", types.Json(), nullable=True),
        sa.Column("state_at", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state = 'sending') = (claimed_by IS NOT NULL)", name=op.f("ck_message_claimed")
        ),
        sa.CheckConstraint(
            "NOT held OR (state IN ('pending', 'deferred') AND batch_code IS NOT NULL)",
            name=op.f("ck_message_held"),
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'sending', 'sent', 'deferred', 'error')",
            name=op.f("ck_message_state"),
        ),
        sa.CheckConstraint("priority BETWEEN 0 AND 3", name=op.f("ck_message_priority")),
        sa.ForeignKeyConstraint(
            ["account_pk"], ["account.pk"], name=op.f("fk_message_account_pk"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_message_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_message")),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_message_tenant_id_id")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_message_batch",
        "message",
        ["tenant_id", "batch_code", "pk"],
        unique=False,
        sqlite_where=sa.text("batch_code IS NOT NULL"),
        postgresql_where=sa.text("batch_code IS NOT NULL"),
    )
    op.create_index(
        "ix_message_client_message_id",
        "message",
        ["client_message_id"],
        unique=False,
        sqlite_where=sa.text("client_message_id IS NOT NULL"),
        postgresql_where=sa.text("client_message_id IS NOT NULL"),
    )
    op.create_index(
        "ix_message_held",
        "message",
        ["tenant_id", "batch_code", "priority", "due_at", "pk"],
        unique=False,
        sqlite_where=sa.text("held"),
        postgresql_where=sa.text("held"),
    )
    op.create_index(
        "ix_message_sending",
        "message",
        ["account_pk", "claimed_by"],
        unique=False,
        sqlite_where=sa.text("state = 'sending'"),
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.create_index("ix_message_tenant_id_pk", "message", ["tenant_id", "pk"], unique=False)
    op.create_index(
        "ix_message_waiting",
        "message",
        ["account_pk", "priority", "due_at", "pk"],
        unique=False,
        sqlite_where=sa.text("state IN ('pending', 'deferred') AND NOT held"),
        postgresql_where=sa.text("state IN ('pending', 'deferred') AND NOT held"),
    )
    op.create_index(
        "ix_message_waiting_of_batch",
        "message",
        ["tenant_id", "batch_code", "priority", "due_at", "pk"],
        unique=False,
        sqlite_where=sa.text(
            "state IN ('pending', 'deferred') AND NOT held AND batch_code IS NOT NULL"
        ),
        postgresql_where=sa.text(
            "state IN ('pending', 'deferred') AND NOT held AND batch_code IS NOT NULL"
        ),
    )


def _message_event() -> None:
    op.create_table(
        "message_event",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("message_pk", types.Pk(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("event_at", sa.Double(), nullable=False),
        sa.Column("data", types.Json(), nullable=True),
        sa.Column("reported_at", sa.Double(), nullable=True),
        sa.Column("report_after", sa.Double(), nullable=True),
        sa.Column("report_attempts", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["message_pk"],
            ["message.pk"],
            name=op.f("fk_message_event_message_pk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_message_event")),
    )
    op.create_index(
        "ix_message_event_fresh",
        "message_event",
        ["tenant_id", "seq"],
        unique=False,
        sqlite_where=sa.text(
            "reported_at IS NULL AND event_type <> 'queued' AND report_after IS NULL"
        ),
        postgresql_where=sa.text(
            "reported_at IS NULL AND event_type <> 'queued' AND report_after IS NULL"
        ),
    )
    op.create_index(
        "ix_message_event_message_pk_seq", "message_event", ["message_pk", "seq"], unique=False
    )
    op.create_index(
        "ix_message_event_put_off",
        "message_event",
        ["tenant_id", "report_after", "seq"],
        unique=False,
        sqlite_where=sa.text(
            "reported_at IS NULL AND event_type <> 'queued' AND report_after IS NOT NULL"
        ),
        postgresql_where=sa.text(
            "reported_at IS NULL AND event_type <> 'queued' AND report_after IS NOT NULL"
        ),
    )
    op.create_index(
        "ix_message_event_reported",
        "message_event",
        ["tenant_id", "reported_at", "seq"],
        unique=False,
        sqlite_where=sa.text("reported_at IS NOT NULL"),
        postgresql_where=sa.text("reported_at IS NOT NULL"),
    )


def _message_payload() -> None:
    op.create_table(
        "message_payload",
        sa.Column("pk", types.Pk(), nullable=False),
        sa.Column("recipients", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pk"], ["message.pk"], name=op.f("fk_message_payload_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_message_payload")),
    )
