"""Names of fields that a mistyped one may mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, get_args

from pydantic import BaseModel

_LONGEST_NAME = 40
#: Names of other mail interfaces, and the fields that they mean here.
_SYNONYMS = {
    "sender": "from",
    "from_email": "from",
    "from_address": "from",
    "recipient": "to",
    "recipients": "to",
    "text": "body",
    "content": "body",
    "html": "body_html",
    "send_at": "deferred_ts",
    "scheduled_at": "deferred_ts",
    "batch": "batch_code",
    "path": "storage_path",
    "file": "filename",
    "name": "filename",
    "cid": "content_id",
    "account": "account_id",
    "tenant": "tenant_id",
    "username": "user",
    "login": "user",
    "server": "host",
    "smtp_host": "host",
    "smtp_port": "port",
    "url": "client_base_url",
}


def suggestion(name: str, names: Sequence[str]) -> str | None:
    """Return the one of ``names`` that a mistyped name most likely means, or None."""
    return _suggestion(name, tuple(names)) if len(name) <= _LONGEST_NAME else None


@lru_cache(maxsize=1024)  # a program repeats its mistake in every message
def _suggestion(name: str, names: tuple[str, ...]) -> str | None:
    meant = _SYNONYMS.get(name.lower())
    if meant in names:
        return meant
    by_words = {_words(known): known for known in names}
    if _words(name) in by_words:
        return by_words[_words(name)]
    return next(iter(get_close_matches(name.lower(), names, n=1, cutoff=0.6)), None)


def _words(name: str) -> tuple[str, ...]:
    """Return the words of a name without their order: ``html_body`` is ``body_html``."""
    return tuple(sorted(name.lower().replace("-", "_").split("_")))


def field_names(model: Any, location: Sequence[str | int]) -> tuple[str, ...]:
    """Return the names of the fields at a place inside a request of a type."""
    here = _model_in(model)
    for part in location:
        fields = {} if here is None else _by_name(here)
        if part in fields:
            here = _model_in(fields[str(part)])
    return () if here is None else tuple(_by_name(here))


def _by_name(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the first model in an annotation such as ``list[Model] | None``."""
    return next(_models_in(annotation), None)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
