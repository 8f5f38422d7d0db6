"""Table of the answers of people to messages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "message_reply",
        sa.Column("event_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_seq"],
            ["message_event.seq"],
            name=op.f("fk_message_reply_event_seq_message_event"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("event_seq", name=op.f("pk_message_reply")),
    )
