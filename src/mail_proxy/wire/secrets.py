"""Redaction of secrets by the type of a field; in free-form settings, by its name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from mail_proxy.telemetry.log import without_logins
from mail_proxy.wire.fields import Redacted

MASK = "********"
_WORDS = re.compile(
    r"passw|token|secret|credential|connection_string|signature|(^|[_-])(key|sas|auth)($|[_-])",
    re.IGNORECASE,
)


def redacted(value: Any) -> Any:
    """Return a JSON-ready copy with ``********`` for secrets and contents of mails.

    A field of a model or a dataclass is redacted if its type is marked (``Secret``, ``Content``).
    Of a model only the fields that were given are copied. A plain mapping has no types: there
    the names decide, as in ``masked_config``.
    """
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        named = {fields[f].alias or f: (f, getattr(value, f)) for f in fields}
        given = {k: (f, v) for k, (f, v) in named.items() if f in value.model_fields_set}
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        given = {f.name: (f.name, getattr(value, f.name)) for f in dataclasses.fields(value)}
    elif isinstance(value, list | tuple):
        return [redacted(v) for v in value]
    elif isinstance(value, Mapping):
        typed = {k: redacted(v) if _has_types(v) else v for k, v in value.items()}
        return masked_config(to_jsonable_python(typed))
    else:
        return to_jsonable_python(value)
    hidden = redacted_fields(value.__class__)
    return {
        k: MASK if f in hidden and v is not None else redacted(v) for k, (f, v) in given.items()
    }


def _has_types(value: Any) -> bool:
    return isinstance(value, BaseModel) or dataclasses.is_dataclass(value)


@cache
def redacted_fields(model: type[Any]) -> frozenset[str]:
    """Return the names of the fields whose type says that they are redacted."""
    hints = get_type_hints(model, include_extras=True)
    return frozenset(name for name, hint in hints.items() if _is_redacted(hint))


def _is_redacted(hint: Any) -> bool:
    marks = getattr(hint, "__metadata__", ())
    return any(isinstance(mark, Redacted) for mark in marks) or any(
        _is_redacted(part) for part in get_args(hint)
    )


def masked_config(value: Any, name: str = "") -> Any:
    """Return a copy with ``********`` for secrets in free-form settings.

    A secret is found by the name of its field or its place in a URL.
    """
    if value is not None and _WORDS.search(name):
        return MASK
    if isinstance(value, Mapping):
        return {k: masked_config(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [masked_config(v) for v in value]
    return without_logins(value) if isinstance(value, str) else value


def kept_secrets(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return ``new`` with each masked value replaced by the stored one of ``old``.

    A masked value that has no stored one is left out.
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
