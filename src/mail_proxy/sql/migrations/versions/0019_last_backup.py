"""Time of the last backup of the instance."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instance", sa.Column("last_backup_at", sa.Double(), nullable=True))
