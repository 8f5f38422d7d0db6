"""The audit log names operations and errors; large_file_config is sealed."""

from __future__ import annotations

from typing import Any

import orjson
import sqlalchemy as sa
from alembic import context, op

from mail_proxy.encryption import encrypt_value_with_key
from mail_proxy.errors import EncryptionKeyNotConfigured

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MASK = "********"


def upgrade() -> None:
    op.add_column("command_log", sa.Column("operation", sa.Text()))
    op.add_column("command_log", sa.Column("error", sa.Text()))
    op.create_index("ix_command_log_tenant_id_id", "command_log", ["tenant_id", "id"])
    _seal_configs()
    _mask_logged_configs()


def _seal_configs() -> None:
    """Encrypt ``large_file_config``; the column is text before and after."""
    tenant = sa.table("tenant", sa.column("id"), sa.column("large_file_config"))
    clear = sa.select(tenant).where(tenant.c.large_file_config.is_not(None))
    rows = op.get_bind().execute(clear).all()
    if not rows:
        return
    key: bytes | None = context.config.attributes.get("key")
    if key is None:
        raise EncryptionKeyNotConfigured("the encryption key is needed to seal large_file_config")
    for id_, config in rows:
        sealed = encrypt_value_with_key(config, key, f"tenant.large_file_config:{id_}")
        op.execute(sa.update(tenant).where(tenant.c.id == id_).values(large_file_config=sealed))


def _mask_logged_configs() -> None:
    log = sa.table("command_log", sa.column("id"), sa.column("payload"))
    wanted = sa.select(log).where(log.c.payload.like('%"large_file_config"%'))
    for id_, payload in op.get_bind().execute(wanted).all():
        masked = orjson.dumps(_masked(orjson.loads(payload))).decode()
        op.execute(sa.update(log).where(log.c.id == id_).values(payload=masked))


def _masked(payload: Any) -> Any:
    if isinstance(payload, dict) and payload.get("large_file_config") is not None:
        return {**payload, "large_file_config": _MASK}
    return payload
