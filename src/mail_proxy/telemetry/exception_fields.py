"""Turns exceptions into log fields: type, place and cause, without values.

An exception's message may quote a row, a header or a password. Messages are logged only for
exception types whose messages are known to be harmless.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import PurePath

from mail_proxy.errors import MailProxyError

_MOST_FRAMES = 25
_MOST_CAUSES = 5
_SHOWN_PARTS = 3
#: Their messages quote names in the program only.
_ABOUT_NAMES = (AttributeError, ImportError, NameError)


def described(exception: BaseException) -> dict[str, str]:
    """Return the log fields ``error`` and ``trace``; ``<-`` leads to the cause."""
    chain = list(_causes(exception))
    places = [_places(each) for each in chain]
    fields = {"error": " <- ".join(_kind(each) for each in chain)}
    if any(places):
        fields["trace"] = " <- ".join(places)
    return fields


def _causes(exception: BaseException) -> Iterator[BaseException]:
    each: BaseException | None = exception
    for _ in range(_MOST_CAUSES):
        if each is None:
            return
        yield each
        hidden = None if each.__suppress_context__ else each.__context__
        each = each.__cause__ or hidden


def _kind(error: BaseException) -> str:
    words = _words(error)
    name = type(error).__qualname__
    if isinstance(error, BaseExceptionGroup):
        inner = ", ".join(_kind(each) for each in error.exceptions[:_MOST_CAUSES])
        return f"{name}[{inner}]"
    return f"{name}: {words}" if words else name


def _words(error: BaseException) -> str | None:
    if isinstance(error, MailProxyError):
        return error.message
    if isinstance(error, _ABOUT_NAMES):
        return str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    # The driver's code: SQLSTATE, or SQLite's name for it.
    code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
    return code if isinstance(code, str) else None


def _places(error: BaseException) -> str:
    frames = list(traceback.walk_tb(error.__traceback__))[-_MOST_FRAMES:]
    return " > ".join(
        f"{_short(frame.f_code.co_filename)}:{line}:{frame.f_code.co_name}"
        for frame, line in frames
    )


def _short(file: str) -> str:
    return "/".join(PurePath(file).parts[-_SHOWN_PARTS:])
