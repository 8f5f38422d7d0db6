"""Table of storages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "storage",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("tenant_id", "name")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("protocol", "config")),
        sa.Column("trusted", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("created_at", "updated_at")),
        sa.Column("directory_version", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenant.id"],
            name=op.f("fk_storage_tenant_id_tenant"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_storage")),
    )
    op.create_index("ix_storage_directory_version", "storage", ["directory_version"])
