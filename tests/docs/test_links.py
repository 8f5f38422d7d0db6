"""No page leads nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.pages import ROOT, all_pages, anchors, relative_links

from reference_pages import fill


@pytest.mark.parametrize("page", all_pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_what_is_there(page: Path) -> None:
    dead = [link for link in relative_links(fill(page.read_text())) if not _is_there(page, link)]
    assert not dead


def _is_there(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return False
    return not anchor or anchor in anchors(fill(target.read_text()))
