"""Sphinx extension that generates reference pages from the code.

A page under ``reference/`` holds its introduction and a comment such as
``<!-- generated: settings -->``; the comment is replaced when Sphinx reads the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from reference_pages import commands, errors, logs, metrics, python, rest, settings

RENDERERS: dict[str, Callable[[], str]] = {
    "settings": settings.render,
    "rest": rest.render,
    "errors": errors.render,
    "metrics": metrics.render,
    "logs": logs.render,
    "commands": commands.render,
    "python": python.render,
}
_PLACE = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def fill(text: str) -> str:
    """Replace the comments ``<!-- generated: ... -->`` in ``text`` by generated pages."""
    return _PLACE.sub(lambda match: _renderer(match[1])(), text)


def _renderer(name: str) -> Callable[[], str]:
    if name not in RENDERERS:
        raise ExtensionError(f"<!-- generated: {name} -->: known are {', '.join(RENDERERS)}")
    return RENDERERS[name]


def _source_read(app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = fill(source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("source-read", _source_read)
    return {"parallel_read_safe": True}
