"""Hosts and URLs that the administrator has saved, which may be at any address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from mail_proxy.operations.callers import Caller
from mail_proxy.wire.bound_secrets import Usual


def private_allowed(
    caller: Caller,
    request: BaseModel,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    place: Mapping[str, Usual],
) -> bool:
    """Return whether the saved place may be at any address.

    ``old`` and ``new`` are the stored fields before and after the save, ``old`` empty for a new
    row. ``place`` has the fields that say where it leads, the host first. The administrator
    approves a place by naming its host. A change of place by a tenant key ends that.
    """
    if caller.is_admin and (not old or next(iter(place)) in request.model_fields_set):
        return True
    if not old.get("private_allowed"):
        return False
    return caller.is_admin or all(usual(old[p]) == usual(new[p]) for p, usual in place.items())
