"""Set-up of logging: lines go to standard error, as text or JSON."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Any, Literal

import orjson

from mail_proxy.telemetry.actions import ServiceAction
from mail_proxy.telemetry.exception_fields import described
from mail_proxy.telemetry.log import Entry, log

_LONGEST_TEXT = 300
#: Characters with which a library's message begins to quote a value.
_VALUE_BEGINS = ("<", "(", "{", "[", "'", '"')


class TextFormatter(logging.Formatter):
    """Formats a line as time (UTC), level, sentence and ``key=value`` pairs."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        return f"{self.formatTime(record)} {record.levelname:7} {_entry_of(record)}"


class JsonFormatter(logging.Formatter):
    """Formats a line as one JSON object.

    Keys are ``ts`` (Unix seconds), ``level``, ``action``, ``message`` and the line's fields.
    """

    def format(self, record: logging.LogRecord) -> str:
        entry = _entry_of(record)
        line = {
            "ts": round(record.created, 3),
            "level": record.levelname.lower(),
            "action": entry.action.word,
            "message": entry.action.sentence,
            **entry.fields,
        }
        return orjson.dumps(line).decode()


class _Handler(logging.StreamHandler[Any]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own
        """Print nothing: the inherited method would print the record with its values."""


def configure_logging(level: str, form: Literal["text", "json"]) -> None:
    """Set up the loggers of this process.

    ``level`` is for the proxy's own lines; libraries log from WARNING on. The root logger and
    ``sys.excepthook`` are left alone if the program has set up the root logger itself.
    """
    handler = _Handler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    # httpx would log the URL of every report call, and aiosmtpd each line of each session.
    quiet = {**dict.fromkeys(("uvicorn", "httpx", "httpcore"), "WARNING"), "mail.log": "ERROR"}
    for name, least in {"mail_proxy": level, **quiet}.items():
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(least)
        logger.propagate = False
    root = logging.getLogger()
    if all(isinstance(other, _Handler) for other in root.handlers):
        root.handlers[:] = [handler]
        logging.captureWarnings(True)
        sys.excepthook = _crashed


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, Exception):
        log(ServiceAction.PROCESS_CRASHED, exception=error)
    else:
        sys.__excepthook__(kind, error, trace)


def _entry_of(record: logging.LogRecord) -> Entry:
    if isinstance(record.msg, Entry):
        return record.msg
    fields = {"logger": record.name, "text": _words(record)}
    if record.exc_info and record.exc_info[1] is not None:
        fields.update(described(record.exc_info[1]))
    return Entry(ServiceAction.LIBRARY_SAID, fields)


def _words(record: logging.LogRecord) -> str:
    """Return a library's message up to the first quoted value, which may be a secret."""
    first, *_ = str(record.msg).strip().splitlines() or [""]
    end = min((at for mark in _VALUE_BEGINS if (at := first.find(mark)) >= 0), default=len(first))
    return first[: min(end, _LONGEST_TEXT)].rstrip()
