"""The start page and the reference, which need neither token nor network."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client

pytestmark = ONE_DATABASE
#: Elements that have no end.
_VOID = {"meta", "link", "br", "hr", "img", "input"}


class _Page(HTMLParser):
    """Collects ids and links, and checks that the elements close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert name != "style" and not name.startswith("on"), (tag, name)
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src"):
                self.links.append(value or "")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_reference_needs_no_scripts_and_no_other_host(idle: Client, path: str) -> None:
    response = await idle.http.get(path)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/html")
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; ")
    assert "unsafe" not in policy
    page = _Page()
    page.feed(response.text)
    assert page.open == []
    assert not page.tags & {"script", "style", "iframe", "img"}
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert not re.match(r"\w+:|//", link), link
        if link.startswith("#"):
            assert link[1:] in page.ids, link
        else:
            assert (await idle.http.get(f"/{link}")).status_code == 200
    for words in ("/commands/add-messages", "object-MessageIn", "X-API-Token", "$URL"):
        assert words in response.text


async def test_the_start_page_leads_browsers_on_and_answers_programs(idle: Client) -> None:
    browser = await idle.http.get("/", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (browser.status_code, browser.headers["Location"]) == (303, "/ui/")
    program = await idle.http.get("/")
    answer = program.json()
    assert answer.pop("version")
    assert answer == {"ok": True, "name": "genro-mail-proxy", "docs": "/docs"}
    assert (await idle.http.post("/")).json()["code"] == "wrong_method"
