"""Indexes for queues of millions, and row versions for the directory.

By the versions, the directory reloads only the rows that have changed.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    removal = sa.Column(
        "directory_removal_version", sa.BigInteger(), server_default="0", nullable=False
    )
    op.add_column("instance", removal)
    for table in ("tenant", "account"):
        version = sa.Column(
            "directory_version", sa.BigInteger(), server_default="0", nullable=False
        )
        op.add_column(table, version)
        op.create_index(f"ix_{table}_directory_version", table, ["directory_version"])
    op.create_index("ix_account_of_tenant", "account", ["tenant_id", "id"])
    op.drop_index("ix_message_tenant_id_pk", "message")
    op.create_index("ix_message_tenant_id_state", "message", ["tenant_id", "state", "pk"])
    op.create_index("ix_message_account_pk_pk", "message", ["account_pk", "pk"])
    later = "(state = 'deferred' OR due_at > created_at)"
    for name, columns, condition in (
        ("ix_message_urgent", ["account_pk"], "priority = 0"),
        ("ix_message_later", ["due_at", "account_pk"], later),
    ):
        where = sa.text(f"state IN ('pending', 'deferred') AND NOT held AND {condition}")
        op.create_index(name, "message", columns, sqlite_where=where, postgresql_where=where)
