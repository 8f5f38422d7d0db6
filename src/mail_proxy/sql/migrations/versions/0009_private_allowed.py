"""Columns that say which hosts and URLs the administrator has saved.

Rows from before count as the administrator's: what worked goes on working.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("account", "tenant"):
        false = sa.text("false")
        op.add_column(
            table, sa.Column("private_allowed", sa.Boolean(), server_default=false, nullable=False)
        )
        op.execute(f"UPDATE {table} SET private_allowed = true")
