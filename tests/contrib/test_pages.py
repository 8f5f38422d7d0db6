"""The programs on the pages about frameworks work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.contrib.conftest import SECRET, TOKEN, Service
from tests.docs.pages import ROOT, blocks

_HOWTO = ROOT / "docs" / "howto"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAIL_PROXY_TOKEN", TOKEN)
    monkeypatch.setenv("MAIL_PROXY_SIGNING_SECRET", SECRET)
    monkeypatch.chdir(tmp_path)


def _run(page: str, service: Service) -> dict[str, Any]:
    program = "\n".join(blocks(_HOWTO / page, "python"))
    names: dict[str, Any] = {"__name__": "page"}
    exec(program.replace("http://127.0.0.1:8000", service.url), names)
    return names


@pytest.mark.usefixtures("environment")
def test_flask(service: Service) -> None:
    names = _run("flask.md", service)
    answer = names["app"].test_client().post("/order/flask")
    assert answer.text == "order-flask"
    assert service.client.messages.get("order-flask").priority == 1
    with names["app"].app_context():
        names["mail"].client.close()


@pytest.mark.usefixtures("environment")
def test_fastapi(service: Service, asgi_server: Any) -> None:
    url = asgi_server(_run("fastapi.md", service)["app"])
    answers = [httpx.post(f"{url}/order/fast", timeout=60).json() for _ in range(2)]
    assert answers == ["queued", "is queued already"]


@pytest.mark.usefixtures("environment")
def test_outbox(service: Service) -> None:
    names = _run("outbox.md", service)
    assert service.client.messages.get("order-17").subject == "Your order"
    names["client"].close()
    names["engine"].dispose()


@pytest.mark.usefixtures("environment")
def test_django(service: Service) -> None:
    settings, mail, outbox, urls, signals = blocks(_HOWTO / "django.md", "python")
    names: dict[str, Any] = {"os": __import__("os"), "INSTALLED_APPS": [], "urlpatterns": []}
    exec(settings.replace("http://127.0.0.1:8000", service.url) + outbox, names)
    assert names["INSTALLED_APPS"] == ["mail_proxy.contrib.django"]
    assert names["MAIL_PROXY_TOKEN"] == TOKEN
    for block in (mail, urls, signals):
        compile(block, "django.md", "exec")
