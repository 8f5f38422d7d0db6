"""Columns of ``tenant`` for quotas of its own, in place of the settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, type_ in (
        ("max_queued_messages", sa.BigInteger()),
        ("max_queued_mb", sa.Double()),
        ("max_accounts", sa.Integer()),
        ("max_calls_per_second", sa.Double()),
    ):
        op.add_column("tenant", sa.Column(name, type_))
