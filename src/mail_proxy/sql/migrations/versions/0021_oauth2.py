"""Log-in of accounts, and the access tokens of OAuth2."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mail_proxy.sql import types

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("account", sa.Column("auth", sa.Text(), nullable=True))
    op.create_table(
        "access_token",
        sa.Column("account_pk", types.Pk(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("renew_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_pk"],
            ["account.pk"],
            name=op.f("fk_access_token_account_pk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_pk", name=op.f("pk_access_token")),
    )
    op.create_index("ix_access_token_expires_at", "access_token", ["expires_at"])
