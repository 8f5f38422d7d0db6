"""Each page of the dashboard in a real browser: accessible, quiet, and from one origin.

With GMP_TEST_SCREENSHOTS=1 the pictures of README and documentation are taken anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.harness.dashboard import OF_ADMIN, OF_TENANT
from tests.harness.scene import Scene

_MESSAGE = "t/acme/m/invoice-701"
_TENANT = (*(f"t/acme/{name}" for name in OF_TENANT), _MESSAGE, "t/acme/accounts/old-relay")
_ADMIN = ("", *OF_ADMIN, *_TENANT, "t/acme/audit", "nowhere")
_HOSTILE = (*(f"t/hostile/{name}" for name in OF_TENANT), "t/hostile/m/payload", "t/hostile/audit")
_DESKTOP, _PHONE = (1280, 900), (390, 844)
_PICTURES = Path("docs/_static")
_PICTURED = (("", "overview"), ("t/acme/messages", "messages"), (_MESSAGE, "message"))


@dataclass
class Watched:
    """A tab, and what a page should not do: errors, dialogs, requests to other hosts."""

    page: Any
    url: str
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(f"{self.url}/ui/{path}")
        wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            self.faults.append(f"/ui/{path}: {wide} px too wide")

    def check(self, axe: str, path: str) -> None:
        """Run axe-core on the page."""
        if not self.page.evaluate("typeof axe === 'object'"):
            self.page.evaluate(axe)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        for each in found["violations"]:
            nodes = "; ".join(node["html"][:120] for node in each["nodes"][:3])
            self.faults.append(f"/ui/{path}: {each['id']}: {nodes}")


@contextmanager
def tab(browser: Any, shop: Scene, token: str, **options: Any) -> Iterator[Watched]:
    """Open a tab whose visitor is logged in; fail for what its pages should not have done."""
    width, height = options.pop("size", _DESKTOP)
    context = browser.new_context(
        viewport={"width": width, "height": height},
        timezone_id="Europe/Rome",
        **{"locale": "en-GB", "bypass_csp": False, **options},
    )
    page = context.new_page()
    watched = Watched(page, shop.url)
    faults = watched.faults

    def see_request(request: Any) -> None:
        if not request.url.startswith((shop.url, "data:")):
            faults.append(f"request to {request.url}")

    def see_message(message: Any) -> None:
        # The page "not found" is one of those that are looked at.
        if message.type == "error" and "404" not in message.text:
            faults.append(f"console: {message.text}")

    page.on("request", see_request)
    page.on("console", see_message)
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
    page.goto(f"{shop.url}/ui/login")
    page.fill("#token", token)
    page.click("button")
    page.wait_for_url("**/ui/")
    yield watched
    context.close()
    assert faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_the_administrator_are_accessible(
    browser: Any, shop: Scene, axe: str, scheme: str
) -> None:
    size = _DESKTOP if scheme == "light" else _PHONE
    with tab(browser, shop, shop.admin, color_scheme=scheme, size=size) as seen:
        for path in _ADMIN:
            seen.open(path)
            seen.check(axe, path)


def test_pages_of_a_tenant_are_accessible_in_italian(browser: Any, shop: Scene, axe: str) -> None:
    with tab(browser, shop, shop.key, locale="it-IT", size=_PHONE) as seen:
        for path in ("", *_TENANT):
            seen.open(path)
            seen.check(axe, path)
            assert seen.page.get_attribute("html", "lang") == "it"


def test_texts_of_strangers_do_not_run(browser: Any, shop: Scene) -> None:
    with tab(browser, shop, shop.admin) as seen:
        for path in (*_HOSTILE, *OF_ADMIN, ""):
            seen.open(path)
            assert seen.page.locator("main script, main img").count() == 0


def test_actions_work_without_scripts(browser: Any, shop: Scene) -> None:
    with tab(browser, shop, shop.admin, java_script_enabled=False) as seen:
        page = seen.page
        page.goto(f"{shop.url}/ui/t/acme/messages")
        page.fill("#q", "subject:Contract")
        page.click("text=Search")
        assert page.locator(".messages tbody tr").count() == 3
        page.click("text=Retry all")
        page.click("text=Yes, retry")
        assert "Back in the queue" in page.inner_text(".flash")
        page.goto(f"{shop.url}/ui/t/acme/accounts/old-relay")
        page.click("text=Test and resume")
        assert "The test failed" in page.inner_text("main")
        page.click("text=Log out")
        page.wait_for_url("**/ui/login?**")


def test_the_script_adds_comfort(browser: Any, shop: Scene) -> None:
    with tab(browser, shop, shop.admin) as seen:
        page = seen.page
        seen.open(_MESSAGE)
        shown = page.inner_text(".line time")
        assert "UTC" in shown
        assert page.get_attribute(".line time", "title").endswith(" UTC")
        assert page.is_visible("[data-copy]")
        seen.open("t/acme/messages")
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "q"
        seen.open("")
        page.evaluate("document.querySelector('h1').textContent = 'stale'")
        page.keyboard.press("r")
        page.locator("h1", has_text="shop").wait_for()


@pytest.mark.skipif(
    not os.environ.get("GMP_TEST_SCREENSHOTS"), reason="GMP_TEST_SCREENSHOTS is not set"
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_of_the_documentation(browser: Any, shop: Scene, scheme: str) -> None:
    with tab(browser, shop, shop.key, color_scheme=scheme) as seen:
        for path, name in _PICTURED if scheme == "light" else _PICTURED[:1]:
            seen.open(path)
            seen.page.screenshot(path=_PICTURES / f"dashboard-{name}-{scheme}.png")
