"""Table with the heads of large messages: content without bodies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mail_proxy.sql import types

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None

#: Octets, as in ``mail_codec``.
_LARGE = 10_000
_WITHOUT_BODIES = {
    "sqlite": "json_remove(p.content, '$.body', '$.body_html')",
    "postgresql": "(p.content::jsonb - 'body' - 'body_html')::text",
}


def upgrade() -> None:
    op.create_table(
        "message_head",
        sa.Column("pk", types.Pk(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["pk"], ["message.pk"], name=op.f("fk_message_head_pk"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_message_head")),
    )
    # One row is in memory at a time.
    head = _WITHOUT_BODIES[op.get_bind().dialect.name]
    op.execute(
        f"INSERT INTO message_head (pk, content) SELECT m.pk, {head} FROM message AS m "
        f"JOIN message_payload AS p ON p.pk = m.pk WHERE m.size > {_LARGE}"
    )
