"""Binding of stored secrets to the places (hosts, URLs) that they were given for.

A secret that no answer shows could still be read by pointing its account at a server of one's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, get_args, get_type_hints
from urllib.parse import urlsplit

from pydantic import BaseModel

from mail_proxy.domain.networks import find_address
from mail_proxy.domain.tenant import DEFAULT_ATTACHMENT_PATH, DEFAULT_SYNC_PATH
from mail_proxy.wire.mistakes import malformed, mistake
from mail_proxy.wire.secrets import MASK, masked_config

#: Returns the usual spelling of a place, so that two spellings of one place are equal.
Usual = Callable[[Any], Any]
_PORTS = {"http": 80, "https": 443}


class SentTo:
    """Mark on the type of a secret: the fields that say where it is sent.

    The fields also say how the connection is protected.

    ``exact`` fields are compared as they are, those in ``usual`` in their usual spelling.
    """

    def __init__(self, *exact: str, **usual: Usual) -> None:
        self.places: dict[str, Usual] = {**dict.fromkeys(exact, _as_it_is), **usual}


def refuse_other_places(request: BaseModel, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise Malformed if the request moves a stored secret without giving it again.

    ``old`` and ``new`` are all stored fields before and after the save. Damaged secrets count as
    stored. A place that is taken away receives nothing, so this moves no secret.
    """
    for name, mark in _bound(type(request)).items():
        if not _is_secret(old.get(name)) or _is_given(request, name):
            continue
        changed = [
            place
            for place, usual in mark.places.items()
            if new.get(place) is not None and usual(old.get(place)) != usual(new[place])
        ]
        if changed:
            message = f"give it again: {', '.join(changed)} changes, and a stored secret is sent "
            message += "only where it was given for"
            raise malformed(mistake(name, message))


def usual_host(host: str) -> str:
    """Return the usual spelling of a host name or of an address.

    A name is in lower case without its last dot, an address in its short form.
    """
    address = find_address(host.removeprefix("[").removesuffix("]"))
    return str(address) if address is not None else host.lower().removesuffix(".")


def find_usual_host(host: str | None) -> str | None:
    """Return ``usual_host``, or None if there is no host."""
    return None if host is None else usual_host(host)


def usual_url(url: str | None) -> Any:
    """Return the parts of a web URL that decide where it leads."""
    if url is None:
        return None
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme.lower())
    return parts.scheme.lower(), usual_host(parts.hostname or ""), port, parts.path.rstrip("/")


def usual_path(path: str | None) -> str:
    """Return the path that takes reports."""
    return path or DEFAULT_SYNC_PATH


def usual_attachment_path(path: str | None) -> str:
    """Return the path that is called for attachments."""
    return path or DEFAULT_ATTACHMENT_PATH


@cache
def _bound(model: type[BaseModel]) -> dict[str, SentTo]:
    hints = get_type_hints(model, include_extras=True)
    found = {name: _mark_of(hint) for name, hint in hints.items()}
    return {name: mark for name, mark in found.items() if mark is not None}


def _mark_of(hint: Any) -> SentTo | None:
    for mark in getattr(hint, "__metadata__", ()):
        if isinstance(mark, SentTo):
            return mark
    return next((mark for part in get_args(hint) if (mark := _mark_of(part))), None)


def _is_secret(stored: Any) -> bool:
    """Return whether a stored value is a secret, or an object with one."""
    if isinstance(stored, Mapping):
        return bool(masked_config(stored) != stored)
    return stored is not None


def _is_given(request: BaseModel, name: str) -> bool:
    value = getattr(request, name)
    if isinstance(value, BaseModel):
        value = value.model_dump()
    return name in request.model_fields_set and not _has_mask(value)


def _has_mask(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(MASK in v if isinstance(v, str) else _has_mask(v) for v in value.values())
    return bool(value == MASK)


def _as_it_is(value: Any) -> Any:
    return value
