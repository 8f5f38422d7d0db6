"""Sphinx settings. Needs no network."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "src")]

project = "Genro Mail Proxy"
html_title = project
extensions = ["myst_parser", "reference_pages"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {
    "source_repository": "https://github.com/genropy/genro-mail-proxy/",
    "source_branch": "main",
    "source_directory": "docs/",
}
myst_heading_anchors = 3
nitpicky = True
