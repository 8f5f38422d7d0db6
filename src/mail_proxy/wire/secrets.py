"""Which values are secrets, and how they are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mail_proxy.telemetry.log import without_logins

MASK = "********"
_WORDS = re.compile(
    r"passw|token|secret|credential|connection_string|signature|(^|[_-])(key|sas|auth)($|[_-])",
    re.IGNORECASE,
)


def masked_config(value: Any, name: str = "") -> Any:
    """A copy with ``********`` for what a field's name, or its place in a URL, makes a secret."""
    if value is not None and _WORDS.search(name):
        return MASK
    if isinstance(value, Mapping):
        return {k: masked_config(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [masked_config(v) for v in value]
    return without_logins(value) if isinstance(value, str) else value


def kept_secrets(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> dict[str, Any]:
    """``new``, in which masked values that were written back are what they are in ``old``.

    A masked value of which there is no old one is left out.
    """
    kept: dict[str, Any] = {}
    for name, value in new.items():
        before = (old or {}).get(name)
        if isinstance(value, Mapping):
            kept[name] = kept_secrets(value, before if isinstance(before, Mapping) else None)
        elif before is not None and value == masked_config(before, name):
            kept[name] = before
        elif not (isinstance(value, str) and MASK in value):
            kept[name] = value
    return kept
