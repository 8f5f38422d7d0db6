"""Choice of the adapter for a database URL."""

from __future__ import annotations

from mail_proxy.errors import ConfigError
from mail_proxy.sql.adapter import LOCK_SECONDS, Adapter, Shape
from mail_proxy.sql.postgresql import PostgresAdapter
from mail_proxy.sql.sqlite import SqliteAdapter

__all__ = ["LOCK_SECONDS", "Adapter", "Shape", "adapter_for"]


def adapter_for(url: str, lock_seconds: float = LOCK_SECONDS) -> Adapter:
    """Return the adapter for a ``sqlite:///`` or ``postgresql://`` URL.

    Raises ConfigError for any other URL.
    """
    scheme = url.split(":", 1)[0]
    if scheme == "sqlite":
        return SqliteAdapter(url, lock_seconds)
    if scheme == "postgresql":
        return PostgresAdapter(url, lock_seconds)
    raise ConfigError(f"db_path = {scheme}:...: allowed: a path, sqlite:///path, postgresql://")
