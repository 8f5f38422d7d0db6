"""Urgent messages in order, and on PostgreSQL a vacuum that follows the queue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

#: Each message is two dead rows, and each claim walks past the dead entries at the beginning of its
#: index. By default a vacuum comes when a fifth of the table is dead, and of millions that is late.
_OFTEN = "autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02"


def upgrade() -> None:
    urgent = sa.text("state IN ('pending', 'deferred') AND NOT held AND priority = 0")
    op.drop_index("ix_message_urgent", "message")
    op.create_index(
        "ix_message_urgent",
        "message",
        ["account_pk", "due_at", "pk"],
        sqlite_where=urgent,
        postgresql_where=urgent,
    )
    if op.get_bind().dialect.name == "postgresql":
        for table in ("message", "message_event"):
            op.execute(f"ALTER TABLE {table} SET ({_OFTEN})")
