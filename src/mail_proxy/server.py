"""The service as an ASGI application: ``uvicorn mail_proxy.server:app``."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import FastAPI

from mail_proxy.api.app import build_app
from mail_proxy.config import ProxyConfig
from mail_proxy.kit.runtime import prepare_process
from mail_proxy.settings import load_config
from mail_proxy.telemetry.logging import configure_logging


def create_app(config: ProxyConfig | None = None) -> FastAPI:
    """Return the ASGI application; without ``config``, settings from the environment.

    Its lifespan starts and stops the proxy. Before that ``/health`` answers and the rest is 503.
    """

    def load() -> ProxyConfig:
        loaded = config or _from_environment()
        prepare_process()
        configure_logging(loaded.least_level, loaded.log_format)
        return loaded

    return build_app(load)


def _from_environment() -> ProxyConfig:
    file = os.environ.get("GMP_CONFIG_FILE")
    return load_config(environ=os.environ, file=Path(file) if file else None).config


app = create_app()
