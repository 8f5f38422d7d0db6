"""Opaque cursors of listings: a place in an order, as text."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from pydantic import Field

from mail_proxy.wire.fields import Matching

NO_CURSOR = "must be a next_cursor of this listing"
Cursor = Annotated[str, Field(max_length=3000), Matching(r"[A-Za-z0-9_-]+", NO_CURSOR)]
_LARGEST_NUMBER = 2**53


def dump_cursor(place: Sequence[str | int]) -> str:
    """Return the cursor of a place."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def load_cursor(cursor: str, *kinds: type[str | int]) -> list[Any]:
    """Return the place of a cursor, with a value of each of ``kinds``.

    Raises ValueError for another text. Numbers are not negative.
    """
    try:
        place = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        raise ValueError(NO_CURSOR) from None
    if not isinstance(place, list) or [type(value) for value in place] != list(kinds):
        raise ValueError(NO_CURSOR)
    for value in place:
        is_good = "\0" not in value if isinstance(value, str) else 0 <= value < _LARGEST_NUMBER
        if not is_good:
            raise ValueError(NO_CURSOR)
    return place
