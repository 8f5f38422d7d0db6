"""Tables of certified mail (PEC): states of messages, and receipts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mail_proxy.sql import types

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pec_message",
        sa.Column("message_pk", types.Pk(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("begun_at", sa.Double(), nullable=False),
        *(
            sa.Column(name, sa.Double(), nullable=True)
            for name in ("due_at", "accepted_at", "timed_out_at")
        ),
        sa.Column("recipients", types.Json(), nullable=True),
        sa.PrimaryKeyConstraint("message_pk", name=op.f("pk_pec_message")),
    )
    op.create_index("ix_pec_message_due_at", "pec_message", ["due_at"])
    op.create_index(
        "ix_pec_message_tenant_id_message_id", "pec_message", ["tenant_id", "message_id"]
    )
    op.create_table(
        "pec_receipt",
        sa.Column("message_pk", types.Pk(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("data", types.Json(), nullable=False),
        sa.PrimaryKeyConstraint("message_pk", "sha256", name=op.f("pk_pec_receipt")),
    )
    op.create_index("ix_pec_receipt_sha256", "pec_receipt", ["sha256"])
