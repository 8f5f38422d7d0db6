"""Log lines as text or JSON, to standard error."""

from __future__ import annotations

import logging
import sys
import time

import orjson

from mail_proxy.config import ProxyConfig


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``ts`` (Unix seconds), ``level``, ``logger``, ``message``."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def configure_logging(config: ProxyConfig) -> None:
    """Set up the loggers of this process: the proxy's own and the web server's errors."""
    handler = logging.StreamHandler(sys.stderr)
    if config.log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        formatter = logging.Formatter(
            "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S"
        )
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
    level = logging.DEBUG if config.debug else config.log_level
    # httpx would log the URL of every report call.
    others = ((name, logging.WARNING) for name in ("uvicorn", "httpx", "httpcore"))
    for name, least in (("mail_proxy", level), *others):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(least)
        logger.propagate = False
