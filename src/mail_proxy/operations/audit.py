"""What the audit log keeps of a request: enough to replay it, without secrets and bodies."""

from __future__ import annotations

import dataclasses
from typing import Any

from pydantic import BaseModel

from mail_proxy.operations.callers import Caller
from mail_proxy.sql.table import Row
from mail_proxy.wire.secrets import MASK, masked_config

_SECRETS = frozenset(
    {"password", "imap_password", "token", "signing_secret", "api_key", "client_auth_token"}
)
_BODIES = frozenset({"body", "body_html", "content", "attachments"})
_CONFIGS = frozenset({"large_file_config"})


def masked(value: Any) -> Any:
    """A JSON-ready copy in which secrets and bodies are replaced by ``********``."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {k: _masked_field(k, v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [masked(v) for v in value]
    return value


def audit_row(
    caller: Caller, operation: str | None, now: float, tenant_id: str | None, payload: Any
) -> Row:
    """An entry about a call that succeeded; ``payload`` is masked already."""
    return {
        "at": now,
        "operation": operation,
        "endpoint": caller.endpoint or operation or "",
        "tenant_id": tenant_id,
        "actor": caller.actor,
        "address": caller.address,
        "request_id": caller.request_id,
        "status": 200,
        "error": None,
        "payload": payload,
    }


def _masked_field(name: str, value: Any) -> Any:
    if name in _SECRETS or name in _BODIES:
        return None if value is None else MASK
    return masked_config(value) if name in _CONFIGS else masked(value)
