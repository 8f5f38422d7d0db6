"""Tables of watched mailboxes, and of the bounce mailbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mail_proxy.sql import types

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mailbox",
        sa.Column("name", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("uidvalidity", "last_uid")),
        sa.Column("checked_at", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("error_since", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_mailbox")),
    )
    op.create_table(
        "inbound_mail",
        sa.Column("mailbox", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("mailbox", "digest", name=op.f("pk_inbound_mail")),
    )
    op.create_index("ix_inbound_mail_at", "inbound_mail", ["at"])
    op.create_table(
        "bounce_mailbox",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("settings", types.Json(), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("directory_version", sa.BigInteger(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bounce_mailbox")),
    )
    op.create_index("ix_bounce_mailbox_directory_version", "bounce_mailbox", ["directory_version"])
    op.create_table(
        "soft_bounce",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("message_pk", types.Pk(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenant.id"],
            name=op.f("fk_soft_bounce_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "address", "message_pk", name=op.f("pk_soft_bounce")),
    )
    op.create_index("ix_soft_bounce_at", "soft_bounce", ["at"])
