"""The Markdown pages of the repository, and what is in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^(<!--[^\n]*-->\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_NOT_RUN = "<!-- not run by the tests: "


def all_pages() -> list[Path]:
    """Every page that somebody may read, by its name."""
    folders = [ROOT / "docs", ROOT / "benchmarks"]
    nested = [path for folder in folders for path in folder.rglob("*.md")]
    return sorted([*ROOT.glob("*.md"), *(p for p in nested if "_build" not in p.parts)])


def blocks(page: Path, language: str) -> Iterator[str]:
    """Fenced blocks of a language, but for those that say why they are not run."""
    for remark, found, text in _BLOCK.findall(page.read_text()):
        if found == language and not remark.startswith(_NOT_RUN):
            yield text


def relative_links(text: str) -> Iterator[str]:
    for target in _LINK.findall(text):
        if "://" not in target and not target.startswith("mailto:"):
            yield target


def anchors(text: str) -> set[str]:
    """Names of the headings, as GitHub and MyST make them."""
    headings = _HEADING.findall(re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
