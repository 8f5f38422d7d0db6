"""Table of hourly counters by tenant and account."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mail_proxy.sql import types

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_COUNTERS = ("queued", "sent", "deferred", "error", "bounced", "complained", "reported")


def upgrade() -> None:
    op.create_table(
        "hourly_count",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("hour_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account_pk", types.Pk(), nullable=False),
        sa.Column("shard", sa.Integer(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False, server_default="0") for name in _COUNTERS),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenant.id"],
            name=op.f("fk_hourly_count_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "tenant_id", "hour_at", "account_pk", "shard", name=op.f("pk_hourly_count")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_hourly_count_sharded",
        "hourly_count",
        ["hour_at"],
        sqlite_where=sa.text("shard <> 0"),
        postgresql_where=sa.text("shard <> 0"),
    )
