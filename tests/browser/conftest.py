"""A real browser in front of the dashboard, one for the tests of a file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.scene import Scene, scene

_PROGRAM = shutil.which("chromium") or "/usr/bin/chromium"
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
#: axe-core is published for Node only; .ci/run installs it.
_AXE = Path("build/axe/node_modules/axe-core/axe.min.js")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("scene")) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The browser; an event loop runs in this thread as long as it lives.

    So it ends before the tests of other files begin.
    """
    missing = None
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing = "playwright is not installed: make .venv/.ready"
    if not Path(_PROGRAM).exists():
        missing = "chromium is missing: apt-get install chromium"
    if missing:
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=_PROGRAM, args=list(_FLAGS))
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The text of axe-core, to be run in a page."""
    if not _AXE.exists():
        missing = "axe-core is missing: npm install --prefix build/axe axe-core"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return _AXE.read_text()
