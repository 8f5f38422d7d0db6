"""The service as an ASGI application: ``uvicorn mail_proxy.server:app``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fastapi import FastAPI

from mail_proxy.api.app import build_app
from mail_proxy.config import ProxyConfig, load_config
from mail_proxy.telemetry.logging import configure_logging

#: Database threads and the event loop share the interpreter lock. With CPython's default of
#: 5 ms a busy loop starves the threads (a commit of 1000 rows took seconds; with 0.1 ms, 30 ms).
_SWITCH_INTERVAL_SECONDS = 0.0001


def create_app(config: ProxyConfig | None = None) -> FastAPI:
    """The application; without ``config`` its settings come from the environment.

    Its lifespan starts and stops the proxy. Before that ``/health`` answers and the rest is 503.
    """

    def load() -> ProxyConfig:
        loaded = config or _from_environment()
        sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
        configure_logging(loaded)
        return loaded

    return build_app(load)


def _from_environment() -> ProxyConfig:
    file = os.environ.get("GMP_CONFIG_FILE")
    return load_config(environ=os.environ, file=Path(file) if file else None).config


app = create_app()
