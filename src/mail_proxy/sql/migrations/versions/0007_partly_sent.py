"""A column that says that some recipients of a message have it already."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

#: As the results were written until now: JSON without spaces. LIKE would need its percent signs
#: written differently for each driver.
_HAS_SENT = """replace(recipient_results, '"status":"sent"', '') <> recipient_results"""


def upgrade() -> None:
    false = sa.text("false")
    op.add_column(
        "message", sa.Column("partly_sent", sa.Boolean(), server_default=false, nullable=False)
    )
    op.execute(f"UPDATE message SET partly_sent = true WHERE {_HAS_SENT}")
