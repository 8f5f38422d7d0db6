"""Tables of large files, and of the secret of their links."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "large_file",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "tenant_id", "place")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("path", "sha256")),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("state", sa.BigInteger(), nullable=False),
        *(
            sa.Column(name, sa.Double(), nullable=False)
            for name in ("created_at", "expires_at", "remove_at")
        ),
        sa.Column("downloaded_at", sa.Double(), nullable=True),
        sa.Column("lifespan_seconds", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_large_file")),
    )
    op.create_index("ix_large_file_sha256", "large_file", ["sha256"])
    op.create_index("ix_large_file_remove_at", "large_file", ["remove_at"])
    op.create_table(
        "file_secret",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_file_secret")),
    )
