"""Forms of the dashboard: their reading, within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request

from mail_proxy.errors import RequestError, TooLarge
from mail_proxy.wire.mistakes import malformed, mistake

_MOST_BYTES = 1_000_000
_MOST_FIELDS = 1100
_FORM = "application/x-www-form-urlencoded"


class Form:
    """The fields of a form; each may be there several times."""

    def __init__(self, fields: Sequence[tuple[str, str]] = ()) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """Return the first value without blanks around it, empty if it is not there."""
        return next((value for key, value in self._fields if key == name), "").strip()

    def secret(self, name: str) -> str:
        """Return the first value as it was typed."""
        return next((value for key, value in self._fields if key == name), "")

    def texts(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for key, value in self._fields if key == name]

    def is_set(self, name: str) -> bool:
        """Return whether a box is ticked, or a button was used."""
        return any(key == name for key, _ in self._fields)

    def number(self, name: str) -> int | None:
        """Return a whole number, None if the field is empty; raises Malformed."""
        text = self.text(name)
        if not text:
            return None
        if not text.isdecimal() or len(text) > 15:
            raise malformed(mistake(name, "must be a whole number", text[:40]))
        return int(text)

    def given(self, *names: str) -> dict[str, Any]:
        """Return the texts of these fields, without the empty ones."""
        found = {name: self.text(name) for name in names}
        return {name: value for name, value in found.items() if value}


async def read_form(request: Request) -> Form:
    """Read the form of a POST; raises TooLarge or Malformed."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in (_FORM, ""):
        raise malformed(mistake("body", f"must be {_FORM}"))
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            raise TooLarge(f"the form is larger than {_MOST_BYTES} bytes")
    try:
        text = body.decode()
        return Form(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise malformed(mistake("body", "is not a form in UTF-8, or has too many fields")) from None


def reason_of(error: RequestError) -> list[str]:
    """Return the mistakes of a refused request, each as a line."""
    if isinstance(error.detail, list):
        lines = [
            f"{m['field']}: {m['message']}"
            for m in error.detail
            if isinstance(m, dict) and "field" in m and "message" in m
        ]
        if lines:
            return lines
    return [error.message]
