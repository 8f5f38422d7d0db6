"""Tables of alerts, and of the secret that signs calls about them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("code", "tenant_id")),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("waiting", sa.BigInteger(), nullable=True),
        sa.Column("first_at", sa.Double(), nullable=False),
        sa.Column("over_at", sa.Double(), nullable=True),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
            for name in ("email", "url")
        ),
        sa.PrimaryKeyConstraint("code", "tenant_id", "account_id", name=op.f("pk_alert")),
    )
    op.create_table(
        "alert_secret",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_secret")),
    )
