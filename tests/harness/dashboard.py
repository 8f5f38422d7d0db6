"""A visitor of the dashboard without a browser: cookies, forms and links."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx

_SEAL = re.compile(r'name="seal" value="([0-9a-f]{64})"')
#: Pages of a tenant, and pages of the instance that are the administrator's.
OF_TENANT = (
    *("", "messages", "accounts", "accounts/new", "batches", "reports", "suppressions"),
    *("storages", "dkim", "settings", "send", "start"),
)
OF_ADMIN = ("problems", "messages", "audit", "setup", "tenants")
#: A text that runs in a page which does not escape it, in each place where it could be.
PAYLOAD = "'\"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}javascript:alert(1)"


class Visitor:
    """A browser without scripts, in English unless ``language`` says another one."""

    def __init__(self, http: httpx.AsyncClient, language: str = "en") -> None:
        self.http = http
        self._headers = {"Accept-Language": language}

    async def get(self, path: str, **options: Any) -> httpx.Response:
        """Load a page; ``path`` is below ``/ui/``, or from the root with a slash."""
        return await self.http.get(_full(path), headers=self._headers, **options)

    async def page(self, path: str) -> str:
        """Return the text of a page that must be there."""
        response = await self.get(path)
        assert response.status_code == 200, (path, response.status_code, response.text[-600:])
        return response.text

    async def post(self, path: str, on: str = "messages", **fields: Any) -> httpx.Response:
        """Send a form with the seal of the page ``on``."""
        sealed = {"seal": seal_of((await self.get(on)).text), **fields}
        return await self.http.post(_full(path), data=sealed, headers=self._headers)

    async def follow(self, path: str, on: str = "messages", **fields: Any) -> str:
        """Send a form, and return the text of the page that it leads to."""
        response = await self.post(path, on, **fields)
        assert response.status_code == 303, (response.status_code, response.text[-600:])
        return await self.page(response.headers["Location"])

    async def log_in(self, token: str) -> httpx.Response:
        """Log in with a token or key."""
        return await self.post("login", on="login", token=token)


def seal_of(text: str) -> str:
    """Return the seal of the forms of a page."""
    found = _SEAL.search(text)
    assert found, text[-600:]
    return found[1]


def texts_of(page: str) -> str:
    """Return what a page shows, without its elements."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def _full(path: str) -> str:
    return path if path.startswith("/") else f"/ui/{path}"
