"""Which loggers of other packages are heard."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from mail_proxy.config import ProxyConfig
from mail_proxy.telemetry.logging import configure_logging

NAMES = ("mail_proxy", "uvicorn", "httpx", "httpcore")


@pytest.fixture
def loggers() -> Iterator[dict[str, logging.Logger]]:
    """The loggers that are set up; afterwards they are as before."""
    found = {name: logging.getLogger(name) for name in NAMES}
    before = [(x, x.level, x.propagate, list(x.handlers)) for x in found.values()]
    yield found
    for logger, level, propagate, handlers in before:
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers


def test_the_http_client_does_not_log_the_urls_of_applications(
    loggers: dict[str, logging.Logger], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    configure_logging(ProxyConfig(debug=True))
    heard = {name: logger.isEnabledFor(logging.INFO) for name, logger in loggers.items()}
    assert heard == {"mail_proxy": True, "uvicorn": False, "httpx": False, "httpcore": False}
