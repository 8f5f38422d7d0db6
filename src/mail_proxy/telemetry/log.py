"""Writes log lines: ``log(Action.ACCOUNT_HEALED, account_id=...)``.

mypy refuses actions and fields that ``telemetry.actions`` does not list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Unpack

from mail_proxy.telemetry.actions import Action, ServiceAction
from mail_proxy.telemetry.exception_fields import described
from mail_proxy.telemetry.log_fields import Fields
from mail_proxy.telemetry.logged_action import LoggedAction

__all__ = ["Action", "Entry", "ServiceAction", "begin_request", "log", "without_logins"]

_LONGEST_VALUE = 2000
_PLAIN = re.compile(r'[^\s"\\=]+')
_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class Entry:
    """Action and fields of one log line.

    As text: the sentence, then ``key=value`` pairs.
    """

    __slots__ = ("action", "fields")

    def __init__(self, action: LoggedAction, fields: Mapping[str, Any]) -> None:
        self.action = action
        request_id = _request_id.get()
        given = fields if request_id is None else {"request_id": request_id, **fields}
        self.fields = {k: _shown(v) for k, v in given.items() if v is not None}

    def __str__(self) -> str:
        pairs = "".join(f" {name}={_spelled(value)}" for name, value in self.fields.items())
        return f"{self.action.sentence} action={self.action.word}{pairs}"


def log(
    action: LoggedAction, *, exception: BaseException | None = None, **fields: Unpack[Fields]
) -> None:
    """Write a log line, with the id of the request that is being handled.

    ``exception`` becomes the fields ``error`` and ``trace``: types and places, without values.
    """
    if action.logger.isEnabledFor(action.level):
        fault = {} if exception is None else described(exception)
        action.logger.log(action.level, Entry(action, {**fields, **fault}), stacklevel=2)


def begin_request(request_id: str) -> None:
    """Add ``request_id`` to all later log lines of this task.

    Tasks that it starts and transactions that it waits for inherit the id.
    """
    # Never reset: the web server logs a failed request after its end, in the same task.
    _request_id.set(request_id)


def without_logins(text: str) -> str:
    """Replace user and password in URLs in ``text`` by ``********``."""
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
    # Escaped, so that a value can neither end the line nor control a terminal.
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    escaped = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in quoted)
    return f'"{"".join(escaped)}"'
