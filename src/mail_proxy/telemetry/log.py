"""Writing a line: ``log(Action.ACCOUNT_HEALED, account_id=...)``.

mypy refuses actions and fields that ``actions`` does not list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Unpack

from mail_proxy.telemetry.actions import Action, Fields
from mail_proxy.telemetry.exception_fields import described

__all__ = ["Action", "Entry", "begin_request", "log", "without_logins"]

_LONGEST_VALUE = 2000
_PLAIN = re.compile(r'[^\s"\\=]+')
_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class Entry:
    """The content of a line; as text a sentence and ``key=value`` pairs, on one line."""

    __slots__ = ("action", "fields")

    def __init__(self, action: Action, fields: Mapping[str, Any]) -> None:
        self.action = action
        request_id = _request_id.get()
        told = fields if request_id is None else {"request_id": request_id, **fields}
        self.fields = {k: _shown(v) for k, v in told.items() if v is not None}

    def __str__(self) -> str:
        pairs = "".join(f" {name}={_spelled(value)}" for name, value in self.fields.items())
        return f"{self.action.sentence} action={self.action.word}{pairs}"


def log(
    action: Action, *, exception: BaseException | None = None, **fields: Unpack[Fields]
) -> None:
    """Write a line, with the id of the request that is being handled.

    ``exception`` becomes ``error`` and ``trace``: kinds and places, without the values in them.
    """
    if action.logger.isEnabledFor(action.level):
        fault = {} if exception is None else described(exception)
        action.logger.log(action.level, Entry(action, {**fields, **fault}), stacklevel=2)


def begin_request(request_id: str) -> None:
    """From here on, lines of this task carry ``request_id``, and so do those of the tasks that it
    starts and of the transactions that it waits for."""
    # Never reset: what the server says of a failed request comes after its end, in its task.
    _request_id.set(request_id)


def without_logins(text: str) -> str:
    """``text`` with ``********`` for user and password in URLs."""
    return _LOGIN.sub("********", text)


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        # Lone surrogates, which JSON cannot carry, become question marks.
        return without_logins(value)[:_LONGEST_VALUE].encode(errors="replace").decode()
    if isinstance(value, float):
        return round(value, 3)
    return value if isinstance(value, int) else [_shown(each) for each in value]


def _spelled(value: Any) -> str:
    if isinstance(value, list):
        value = ",".join(value)
    text = str(value)
    if text.isprintable() and _PLAIN.fullmatch(text):
        return text
    # Nothing in a value can end the line, or steer a terminal.
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in quoted)
    return f'"{"".join(escaped)}"'
